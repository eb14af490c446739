"""Logging in by name and password in a real browser, as somebody does who has never been here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright
from support.servers import AuditedServer, audited_server, make_home

PASSWORD = "four words that rhyme"
CONFIG = """
c.ServerApp.identity_provider_class = "jupyter_audit.server.login.PeopleIdentityProvider"
c.JupyterAudit.roles = {"engineer": ["*"], "approver": ["amy"]}
"""

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedServer]:
    folder = Path(tmp_path_factory.mktemp("login"))
    home = make_home(folder)
    config = folder / "admin_config.py"
    config.write_text(CONFIG)
    config.chmod(0o600)
    add = [sys.executable, "-m", "jupyter_audit.cli.main", "people", "add", "amy", "--password", "--solo", "--home", str(home.path)]
    subprocess.run(add, input=PASSWORD + "\n", text=True, check=True, capture_output=True)
    with audited_server(folder, f"--config={config}", face="lab", solo=False) as running:
        yield running


@pytest.fixture
def page(browser_path: str) -> Iterator[Page]:
    with sync_playwright() as playwright:
        # As root Chromium has no sandbox of its own to start with.
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser.new_page()
        browser.close()


def test_whoever_logs_in_arrives_where_they_wanted_to_and_whoever_does_not_stays_out(page: Page, server: AuditedServer) -> None:
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto(f"{server.url}/audit/panel")
    assert "/login" in page.url
    page.get_by_label("Name").fill("amy")
    page.get_by_label("Password").fill("something else entirely")
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("alert").get_by_text("do not belong together").wait_for()
    # The browser says so of each answer of status 401; nothing else is amiss, such as the page's policy.
    assert [text for text in complaints if "401" not in text] == []
    page.get_by_label("Name").fill("amy")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/audit/panel")
    page.get_by_text("You are amy").wait_for()
    page.goto(f"{server.url}/lab")
    page.wait_for_selector("#jp-main-dock-panel", timeout=60_000)
