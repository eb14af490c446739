"""The main job in a real JupyterLab in a real browser: refused, granted, Run All, revoked in the middle of a cell."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright
from support.servers import AuditedServer, audited_server, make_home, wait_for

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"

# Running before the session has its kernel is lost by JupyterLab without a word (jupyterlab#18923).
KERNEL_READY = """() => {
  const kernel = window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel;
  return kernel?.connectionStatus === 'connected' && kernel.status === 'idle';
}"""
CODE_CELLS = "[...window.jupyterapp.shell.currentWidget.content.widgets].filter(cell => cell.model.type === 'code')"
COUNTS = f"() => {CODE_CELLS}.map(cell => cell.model.executionCount)"
ERRORS = f"() => {CODE_CELLS}.map(cell => cell.model.outputs.toJSON().filter(o => o.output_type === 'error').map(o => o.ename))"
TEXT = f"() => JSON.stringify({CODE_CELLS}.map(cell => cell.model.outputs.toJSON()))"
STATUS = "() => window.jupyterapp.shell.currentWidget.sessionContext.kernelDisplayStatus"

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedServer]:
    folder = Path(tmp_path_factory.mktemp("lab"))
    make_home(folder)
    subprocess.run([sys.executable, str(NOTEBOOKS / "shop"), str(folder / "work" / "shop.db")], check=True)
    shutil.copy(NOTEBOOKS / "investigation.ipynb", folder / "work")
    with audited_server(folder, "--LabApp.expose_app_in_browser=True", face="lab") as server:
        yield server


@pytest.fixture(scope="module")
def page(browser_path: str, lab: AuditedServer) -> Iterator[Page]:
    with sync_playwright() as playwright:
        # As root Chromium has no sandbox of its own to start with.
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        opened = browser.new_page(viewport={"width": 1400, "height": 900})
        yield opened
        browser.close()


def open_notebook(page: Page, lab: AuditedServer, name: str) -> None:
    page.goto(f"{lab.url}/lab/tree/{name}?token={lab.token}&reset")
    page.wait_for_selector(".jp-Notebook", timeout=60_000)
    page.wait_for_function(KERNEL_READY, timeout=60_000)


def run_all(page: Page) -> None:
    # Not awaited: the promise lasts as long as the cells do.
    page.evaluate("() => { void window.jupyterapp.commands.execute('notebook:run-all-cells'); }")


def evaluated(page: Page, script: str) -> Any:
    return page.evaluate(script)


def test_without_a_grant_every_cell_is_refused_in_the_notebook(page: Page, lab: AuditedServer) -> None:
    open_notebook(page, lab, "investigation.ipynb")
    run_all(page)
    page.wait_for_function(f"() => ({ERRORS})().every(names => names.includes('NoActiveGrant'))", timeout=60_000)
    assert not any(evaluated(page, COUNTS))
    assert page.locator("text=Ask for one").count() > 0
    assert len([e for e in lab.entries("cell.admitted") if not e.body["canary"]]) == 0


def test_access_is_asked_for_and_approved_in_the_panel_and_then_run_all_reaches_the_end(page: Page, lab: AuditedServer) -> None:
    open_notebook(page, lab, "investigation.ipynb")
    with page.context.expect_page() as opened:
        page.locator(".lm-MenuBar-itemLabel", has_text="Audit").click()
        page.locator(".lm-Menu-itemLabel", has_text="Audit Panel").click()
    panel = opened.value
    panel.wait_for_load_state()
    panel.fill("[name=reason]", "customers report being overcharged")
    panel.fill("[name=ticket]", "SHOP-1042")
    panel.locator("button", has_text="Request").first.click()
    panel.locator("button", has_text="Approve").first.click()
    wait_for(lambda: lab.api("GET", "status")["grant"], "the grant to begin")
    panel.close()
    run_all(page)
    page.wait_for_function(f"() => ({COUNTS})().every(count => count)", timeout=120_000)
    assert not any(evaluated(page, ERRORS))
    assert "VAT" in evaluated(page, TEXT)
    # Every cell of the notebook is in the ledger, and each came to its end there.
    cells = [e for e in lab.entries("cell.admitted") if not e.body["canary"]]
    assert len(cells) == len(evaluated(page, COUNTS))
    assert {lab.finished(cell.seq).body["status"] for cell in cells} == {"ok"}
    [approved] = lab.entries("access.approved")
    assert (approved.body["self_approved"], approved.body["solo"]) == (True, True)


def test_revocation_in_the_middle_of_a_cell_stops_it_and_says_so_in_the_notebook(page: Page, lab: AuditedServer) -> None:
    mark = f"mark-{uuid.uuid4().hex}"
    job = [sys.executable, "-c", "import time; time.sleep(600)", mark]
    code = f"import subprocess, time\nsubprocess.Popen({job!r}, start_new_session=True)\nwhile True: time.sleep(0.1)"
    cell = {"cell_type": "code", "id": "long", "source": code, "metadata": {}, "outputs": [], "execution_count": None}
    spec = {"name": "audit", "display_name": "Python (audited)", "language": "python"}
    (lab.work / "long.ipynb").write_text(
        json.dumps({"cells": [cell], "metadata": {"kernelspec": spec}, "nbformat": 4, "nbformat_minor": 5})
    )
    grant = lab.api("GET", "status")["grant"]["id"]
    open_notebook(page, lab, "long.ipynb")
    run_all(page)
    wait_for(lambda: subprocess.run(["pgrep", "-f", mark], capture_output=True, check=False).stdout, "the cell's child to run")
    lab.revoke(grant)
    page.wait_for_function(f"() => ({ERRORS})().flat().includes('GrantRevoked')", timeout=30_000)
    wait_for(lambda: not subprocess.run(["pgrep", "-f", mark], capture_output=True, check=False).stdout, "the child to be gone", 10)
    ended = lab.await_entry("session.ended", lambda entry: entry.grant == grant)
    assert (ended.body["cause"], ended.body["clean"]) == ("revoked", True)
    page.wait_for_function(f"() => !['idle', 'busy'].includes(({STATUS})())", timeout=30_000)
    assert evaluated(page, f"() => {CODE_CELLS}.map(cell => cell.model.sharedModel.source)") == [code]  # nothing is lost
