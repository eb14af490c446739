"""Notebook 7 in a real browser: a cell is refused without a grant, runs with one, and the way to the panel is there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright
from support.servers import AuditedServer, audited_server, make_home

CONNECTED = "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.connectionStatus === 'connected'"

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedServer]:
    folder = Path(tmp_path_factory.mktemp("notebook"))
    make_home(folder)
    cell = {"cell_type": "code", "id": "sum", "source": "print(6 * 7)", "metadata": {}, "outputs": [], "execution_count": None}
    spec = {"name": "audit", "display_name": "Python (audited)", "language": "python"}
    (folder / "work" / "sum.ipynb").write_text(
        json.dumps({"cells": [cell], "metadata": {"kernelspec": spec}, "nbformat": 4, "nbformat_minor": 5})
    )
    with audited_server(folder, "--JupyterNotebookApp.expose_app_in_browser=True", face="notebook") as server:
        yield server


@pytest.fixture(scope="module")
def page(browser_path: str) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser.new_page(viewport={"width": 1400, "height": 900})
        browser.close()


def run_all(page: Page) -> None:
    page.wait_for_function(CONNECTED, timeout=60_000)
    page.evaluate("() => { void window.jupyterapp.commands.execute('notebook:run-all-cells'); }")


def test_a_cell_is_refused_without_a_grant_and_runs_with_one(page: Page, notebook: AuditedServer) -> None:
    page.goto(f"{notebook.url}/?token={notebook.token}")
    page.wait_for_url("**/tree**")
    page.locator(".jp-DirListing-item", has_text="sum.ipynb").wait_for(timeout=60_000)
    page.goto(f"{notebook.url}/notebooks/sum.ipynb")
    run_all(page)
    page.locator(".jp-OutputArea-output", has_text="NoActiveGrant").wait_for(timeout=60_000)
    assert not [e for e in notebook.entries("cell.admitted") if not e.body["canary"]]
    notebook.grant()
    run_all(page)
    page.locator(".jp-OutputArea-output", has_text="42").wait_for(timeout=60_000)
    [cell] = [e for e in notebook.entries("cell.admitted") if not e.body["canary"]]
    assert notebook.finished(cell.seq).body["status"] == "ok"


def test_the_panel_opens_from_the_menu(page: Page, notebook: AuditedServer) -> None:
    page.goto(f"{notebook.url}/notebooks/sum.ipynb?token={notebook.token}")
    with page.context.expect_page(timeout=60_000) as opened:
        page.locator(".lm-MenuBar-itemLabel", has_text="Audit").click()
        page.locator(".lm-Menu-itemLabel", has_text="Audit Panel").click()
    assert opened.value.url.endswith("/audit/panel")
