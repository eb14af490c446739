"""The way of a grant on the panel: several yeses, more time, taking over, a broken glass and its review, an incident."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from support.servers import AuditedServer, wait_for
from web_house import TOKENS, Person, shared_server

from jupyter_audit.clock import parse_time
from jupyter_audit.ledger import open_ledger
from jupyter_audit.model import Actor, Draft

pytestmark = pytest.mark.browser

ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage"]
POLLED_MS = 10_000
ASKED = {"profile": "production-debug", "reason": "orders are charged twice", "ticket": "SHOP-1"}
HOSTILE = "<img src=x onerror=window.hacked=1> </section><script>window.hacked=1</script>"


@pytest.fixture(scope="module")
def browser(browser_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=browser_path, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedServer]:
    """A server of its own: here everybody's access ends, and the clock is set."""
    with shared_server(Path(tmp_path_factory.mktemp("shop"))) as running:
        yield running


@pytest.fixture
def open_panel(browser: Browser, shop: AuditedServer) -> Iterator[Callable[..., Page]]:
    """Open somebody's panel. At the end nothing may have gone wrong on any of the pages."""
    contexts: list[BrowserContext] = []
    wrong: list[str] = []

    def opened(name: str, *, scheme: Any = "light") -> Page:
        context = browser.new_context(color_scheme=scheme, viewport={"width": 1280, "height": 1000})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.goto(f"{shop.url}/audit/panel?token={TOKENS[name]}")
        page.wait_for_selector("#ledger")
        return page

    yield opened
    for context in contexts:
        hacked = [page.evaluate("window.hacked") for page in context.pages]
        context.close()
        assert set(hacked) == {None}
    assert wrong == []


def refresh(page: Page) -> None:
    with page.expect_response("**/audit/panel"):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def fill(page: Page, form: str, profile: str, why: str, ticket: str = "SHOP-1") -> None:
    """Fill a form by the labels of its fields."""
    fields = page.locator(form)
    fields.get_by_label("Profile").select_option(profile)
    fields.get_by_label(re.compile("Others will read this")).fill(why)
    fields.get_by_label(re.compile("^Ticket")).fill(ticket)


def test_the_form_shows_a_profiles_targets_and_whose_yes_it_needs(open_panel: Callable[..., Page]) -> None:
    page = open_panel("erin")
    form = page.locator("#ask-form")
    expect(form.get_by_label("Target")).to_be_hidden()
    expect(form).to_contain_text("One approver must say yes.")
    form.get_by_label("Profile").select_option("emergency")
    assert form.get_by_label("Target").locator("option").all_inner_texts() == ["shop", "stock"]
    form.get_by_label("Profile").select_option("two-yeses")
    expect(form.get_by_label("Target")).to_be_hidden()
    expect(form).to_contain_text("2 different people of ana, abe must say yes.")


def test_two_people_say_yes_and_each_sees_who_is_still_needed(open_panel: Callable[..., Page]) -> None:
    erin, ana, abe = (open_panel(name) for name in ("erin", "ana", "abe"))
    fill(erin, "#ask-form", "two-yeses", f"Two must look at this {HOSTILE}")
    erin.get_by_role("button", name="Request access").click()
    expect(erin.locator("#mine")).to_contain_text("2 yeses of ana, abe")
    refresh(ana)
    ana.get_by_role("button", name="Approve the request of erin").click()
    expect(ana.locator("#said")).to_contain_text("Somebody else must, too")
    expect(ana.locator("#requests")).to_contain_text("1 yes of abe; ana said yes")
    expect(ana.get_by_role("button", name="Approve the request of erin")).to_have_count(0)
    refresh(erin)
    expect(erin.locator("#mine")).to_contain_text("1 yes of abe; ana said yes")
    refresh(abe)
    abe.get_by_role("button", name="Approve the request of erin").click()
    refresh(erin)
    expect(erin.locator("#mine .clock")).to_have_text(re.compile(r"(29:\d\d|30:00)"))


def test_more_time_is_asked_for_without_a_mouse_and_the_clock_goes_on(shop: AuditedServer, open_panel: Callable[..., Page]) -> None:
    otto, ana = Person(shop, "otto"), Person(shop, "ana")
    ana.post(f"requests/{otto.request_access()}/approve")
    page = open_panel("otto", scheme="dark")
    page.locator("#mine summary", has_text="Ask for more time").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Why does it take longer?")).to_be_focused()
    page.keyboard.type("It takes longer")
    page.keyboard.press("Tab")
    page.keyboard.press("Control+A")
    page.keyboard.type("15")
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_contain_text("You asked for more time")
    expect(page.locator("#mine")).to_contain_text("15 minutes more, for the grant")
    approver = open_panel("ana")
    approver.get_by_role("button", name="Approve the request of otto").click()
    expect(approver.locator("#said")).to_contain_text("otto has more time")
    refresh(page)
    expect(page.locator("#mine")).to_contain_text("given more time 1 time")
    expect(page.locator("#mine .clock")).to_have_text(re.compile(r"4[45]:\d\d"))


def test_a_colleague_takes_a_grant_over_with_its_number(shop: AuditedServer, open_panel: Callable[..., Page]) -> None:
    ana = Person(shop, "ana")
    ana.post("revoke-everyone", reason="the next test begins")
    grant = ana.post(f"requests/{Person(shop, 'otto').request_access()}/approve")["id"]
    otto, erin = open_panel("otto"), open_panel("erin")
    expect(otto.locator("#mine")).to_contain_text(grant)
    fill(erin, "#ask-form", "production-debug", "I take the night shift")
    erin.get_by_label("Takes over grant").fill(grant)
    erin.get_by_role("button", name="Request access").click()
    expect(erin.locator("#mine")).to_contain_text(f"to take over the grant {grant} of otto")
    approver = open_panel("ana")
    approver.get_by_role("button", name="Approve the request of erin").click()
    refresh(erin)
    expect(erin.locator("#mine .clock")).to_be_visible()
    refresh(otto)
    expect(otto.locator("#mine")).to_contain_text("You have no access now")


def test_a_grant_for_a_window_shows_when_it_begins(shop: AuditedServer, open_panel: Callable[..., Page]) -> None:
    Person(shop, "ana").post("revoke-everyone", reason="the next test begins")
    page = open_panel("erin")
    fill(page, "#ask-form", "production-debug", "The queue is moved at night")
    page.get_by_label("Begins").fill((datetime.now(UTC) + timedelta(days=2)).strftime("%Y-%m-%dT22:00"))
    page.get_by_role("button", name="Request access").click()
    expect(page.locator("#mine")).to_contain_text("from ")
    approver = open_panel("ana")
    approver.get_by_role("button", name="Approve the request of erin").click()
    expect(approver.locator("#said")).to_contain_text("begins when it was asked to")
    expect(approver.locator("#grants")).to_contain_text("from ")
    refresh(page)
    expect(page.locator("#mine")).to_contain_text("Approved, and begins at")
    expect(page.locator("#mine .clock")).to_have_count(0)
    # What is to come is no access now: the glass is still there.
    expect(page.locator("#glass summary")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_broken_glass_is_warned_of_told_and_reviewed_by_somebody_else(
    shop: AuditedServer, open_panel: Callable[..., Page], scheme: str
) -> None:
    Person(shop, "ana").post("revoke-everyone", reason="the next test begins")
    page = open_panel("erin", scheme=scheme)
    assert page.locator("#ask > :last-child").get_attribute("id") == "glass"
    page.locator("#glass summary").click()
    expect(page.locator("#glass")).to_contain_text("approved by nobody")
    fill(page, "#glass-form", "emergency", f"The shop is down in the {scheme} {HOSTILE}", "SHOP-911")
    page.get_by_label("Target").locator("visible=true").select_option("stock")
    page.get_by_role("button", name="Break the glass").click()
    expect(page.locator("#mine")).to_contain_text("You broke the glass.")
    told = open_panel("abe", scheme=scheme)
    expect(told.locator("#findings tr", has_text="Broken glass").first).to_contain_text("erin", timeout=POLLED_MS)
    expect(told.locator("#findings tr", has_text="Broken glass").first).to_contain_text("critical")
    expect(told.locator("#grants")).to_contain_text("nobody: the glass was broken")
    page.locator("#mine summary", has_text="End it now").click()
    page.get_by_label("Why? Everything that runs under it").fill("it works again")
    page.get_by_role("button", name="End it now").click()
    expect(page.locator("#mine")).to_contain_text("Somebody else has yet to review it")
    assert page.locator("#reviews").count() == 0
    refresh(told)
    article = told.locator("#reviews article", has_text=f"in the {scheme}")
    article.locator("summary").click()
    article.get_by_label("Was it right to break it?").select_option("false")
    article.get_by_label("What did you find?").fill("Nothing was down")
    article.get_by_role("button", name="Put the review down").click()
    expect(told.locator("#reviews")).to_have_count(0)
    reviewed = shop.await_entry("access.reviewed")
    assert (reviewed.actor.name, reviewed.body) == ("abe", {"justified": False, "comment": "Nothing was down"})


def test_everybodys_access_ends_only_when_somebody_is_sure(shop: AuditedServer, open_panel: Callable[..., Page]) -> None:
    ana = Person(shop, "ana")
    for name in ("erin", "otto"):
        ana.post(f"requests/{Person(shop, name).request_access()}/approve")
    assert open_panel("aude").locator("#everyone").count() == 0
    page = open_panel("adam")
    page.locator("#everyone summary").click()
    page.get_by_label("What has happened? Everybody reads this.").fill("keys were stolen")
    page.get_by_role("button", name="Revoke everyone").click()
    assert ana.get("grants?live=true")["grants"], "without the confirmation nothing may happen"
    page.get_by_label("End every grant of everybody now").check()
    page.get_by_role("button", name="Revoke everyone").click()
    expect(page.locator("#said")).to_contain_text("Everybody's access is ended")
    expect(page.locator("#grants")).to_contain_text("Nobody else has access now")
    assert ana.get("grants?live=true")["grants"] == []


# The last two set the ledger's time ahead, so they come last, and this one first: a grant begins by the server's time.
def test_work_goes_on_past_the_old_end_and_ends_when_a_colleague_takes_over(shop: AuditedServer) -> None:
    erin, otto, ana = (Person(shop, name) for name in ("erin", "otto", "ana"))
    ana.post("revoke-everyone", reason="the next test begins")
    grant = ana.post(f"requests/{erin.post('requests', **ASKED, minutes=1)['id']}/approve")
    kernel = replace(shop, token=TOKENS["erin"]).kernel()
    assert kernel.run("x = 1")["status"] == "ok"
    more = erin.post(f"grants/{grant['id']}/extend", reason="it takes longer", minutes=30)["id"]
    assert ana.post(f"requests/{more}/approve")["extensions"] == 1
    sleep_until_after(shop, grant["not_after"])
    assert kernel.run("x + 1")["status"] == "ok", "the session ended at the end that was moved"
    taken = ana.post(f"requests/{otto.post('requests', **ASKED, takes_over=grant['id'])['id']}/approve")
    ended = wait_for(lambda: shop.entries("session.ended", grant=grant["id"]), "the end of the session")
    assert ended[0].body["cause"] == "taken_over"
    assert (erin.get("status")["grant"], otto.get("status")["grant"]["id"]) == (None, taken["id"])
    kernel.close()
    mine = replace(shop, token=TOKENS["otto"]).kernel()
    assert mine.run("'x' in globals()")["status"] == "ok"
    mine.close()


def test_two_people_in_two_browsers_ask_approve_work_and_see_it_end(
    shop: AuditedServer, open_panel: Callable[..., Page]
) -> None:
    Person(shop, "ana").post("revoke-everyone", reason="the next test begins")
    kernel = replace(shop, token=TOKENS["erin"]).kernel()
    assert kernel.run("6 * 7")["status"] == "error"
    erin, ana = open_panel("erin"), open_panel("ana")
    fill(erin, "#ask-form", "production-debug", "Orders are charged twice")
    erin.get_by_label("Minutes").locator("visible=true").fill("1")
    erin.get_by_role("button", name="Request access").click()
    expect(ana.locator("#requests")).to_contain_text("Orders are charged twice", timeout=POLLED_MS)
    with ana.expect_response("**/approve"):
        ana.get_by_role("button", name="Approve the request of erin").click()
    assert kernel.run("print('at work')")["status"] == "ok"
    approved = shop.await_entry("access.approved")
    admitted = shop.await_entry("cell.admitted", lambda entry: entry.grant == approved.grant)
    took = (admitted.time - approved.time).total_seconds()
    print(f"from the approval to the first cell's admission: {took * 1000:.0f} ms")  # `-rP` shows it
    expect(erin.locator("#mine .clock")).to_have_text(re.compile(r"00:\d\d"), timeout=POLLED_MS)
    expect(erin.locator("#cells tbody tr", has_text="at work")).to_contain_text("ok", timeout=POLLED_MS)
    sleep_until_after(shop, str(approved.body["not_after"]))
    ended = wait_for(lambda: shop.entries("session.ended", grant=approved.grant), "the end of the session")
    assert ended[0].body["cause"] == "expired"
    refresh(erin)
    expect(erin.locator("#mine")).to_contain_text("You have no access now")
    kernel.close()


def sleep_until_after(shop: AuditedServer, end: str) -> None:
    """Have the machine sleep until a moment has passed: the next entry is from after it."""
    ahead = AheadClock(max(parse_time(end) - datetime.now(UTC), timedelta(0)) + timedelta(seconds=1))
    with open_ledger(shop.home, clock=ahead) as ledger:
        ledger.append([Draft("ledger.read", {"view": "grants", "detail": {}}, actor=Actor("aude", "test"))])


class AheadClock:
    """The machine's clock, and so much later."""

    def __init__(self, lead: timedelta) -> None:
        self._lead = lead

    def now(self) -> datetime:
        return datetime.now(UTC) + self._lead
