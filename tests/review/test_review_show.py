"""Hostile code, output, names and reasons render inert in the auditor's notebook."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from review_day import HOSTILE

from jupyter_audit.errors import AuditError, UsageError, VerificationError
from jupyter_audit.home import Home
from jupyter_audit.ledger import LedgerReport
from jupyter_audit.review import (
    VerifiedReader,
    choose_step,
    count_activity,
    count_by_hour,
    count_by_principal,
    list_findings,
    list_refusals,
    list_sessions,
    open_verified,
    read_timeline,
)
from jupyter_audit.review.charts import draw_activity
from jupyter_audit.review.findings import Finding, Refusal
from jupyter_audit.review.show import (
    Shown,
    show_error,
    show_findings,
    show_refusals,
    show_report,
    show_sessions,
    show_timeline,
)

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
TAGS = {
    "style", "div", "p", "b", "i", "table", "thead", "tbody", "tr", "th", "td", "pre", "code", "details",
    "summary", "span", "br",
}  # fmt: skip
"""All that the review itself writes; anything else was smuggled in."""


class Tags(HTMLParser):
    """Collects tags and attributes as a browser would read them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.depth += tag != "br"

    def handle_endtag(self, tag: str) -> None:
        self.depth -= 1


def check_inert(shown: Shown) -> None:
    read = Tags()
    read.feed(shown.html)
    read.close()
    assert read.tags <= TAGS
    assert read.attributes <= {"class", "title"}
    assert read.depth == 0
    for text in (shown.html, shown.text, repr(shown)):
        text.encode("utf-8")
        acting = {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")} - {"\n", "\t"}
        assert not acting
    assert 'class="ja tex2jax_ignore mathjax_ignore"' in shown.html


@pytest.fixture(scope="module")
def ledger(day: Home) -> Iterator[VerifiedReader]:
    with open_verified(day.ledger, day.verifier_key) as reader:
        yield reader


@pytest.fixture(scope="module")
def everything(ledger: VerifiedReader) -> list[Shown]:
    sessions = list_sessions(ledger.entries())
    return [
        show_report(ledger.report, ledger.checkpoint_note()),
        show_sessions(sessions),
        show_findings(list_findings(ledger.entries())),
        show_refusals(list_refusals(ledger.entries())),
        *(show_timeline(read_timeline(ledger, session)) for session in sessions),
    ]


def test_everything_that_is_shown_is_inert(everything: list[Shown]) -> None:
    for shown in everything:
        check_inert(shown)
    assert any("&lt;script&gt;window.pwned" in shown.html for shown in everything)


def test_a_huge_cell_and_output_are_cut_with_a_note(everything: list[Shown]) -> None:
    assert all(len(shown.html) < 200_000 for shown in everything)
    assert any("280,000 more characters" in shown.html for shown in everything)


def test_purged_text_and_the_kernels_word_are_marked(everything: list[Shown]) -> None:
    alice = everything[4].html
    assert "Code of 1 line: purged." in alice
    assert "text purged" in alice
    assert "Erika" not in alice
    assert "(kernel&#x27;s word)" in alice or "(kernel's word)" in alice
    assert "late output" in alice
    assert "SHOP-1042" in alice
    assert "approved by</span> bob" in alice


@given(st.text(st.characters(), max_size=60))
def test_any_text_anywhere_is_inert(text: str) -> None:
    check_inert(show_findings([Finding(1, MOMENT, text, text, text, text, text, text, (1,))]))
    check_inert(show_refusals([Refusal(1, MOMENT, text, text, text, text)]))
    check_inert(show_error(VerificationError(text, damage="entry_changed", seq=3, advice=text)))
    report = LedgerReport(
        origin=text, keys=(), entries=1, checkpoints=1, first=MOMENT, last=MOMENT, root=text, contents_held=0,
        contents_purged=0, clock_went_back=0, since=None, not_checked=(text,),
    )  # fmt: skip
    check_inert(show_report(report, text))


def test_nothing_to_show_is_said() -> None:
    assert "No session." in show_sessions([]).text
    assert "No findings." in show_findings([]).html
    assert "Nothing was refused." in show_refusals([]).html


BAD_ENTRY = VerificationError("Entry 7 was changed.", damage="entry_changed", seq=7)


@pytest.mark.parametrize("error", [BAD_ENTRY, UsageError("No ledger was named.")])
def test_an_error_says_that_nothing_is_shown(error: AuditError) -> None:
    shown = show_error(error)
    assert str(error) in shown.html
    assert "Nothing of it is shown below." in shown.html
    assert shown.text.startswith("STOPPED")


def test_a_hostile_name_in_a_chart_is_drawn_as_text(ledger: VerifiedReader) -> None:
    entries = list(ledger.entries())
    step = choose_step(ledger.report.first, ledger.report.last)
    people = count_by_principal(entries)
    people["$\\frac{$ \x00 " + HOSTILE] = people["alice"]
    picture = draw_activity(count_activity(entries, step), step, count_by_hour(entries), people, UTC)
    assert picture._repr_png_().startswith(b"\x89PNG")
    assert repr(picture) == "8 cells run, 5 refused, 2 findings"
    assert draw_activity([], step, count_by_hour([]), {}, UTC).png


@pytest.mark.browser
def test_a_browser_runs_nothing_of_it(everything: list[Shown], browser_path: str) -> None:
    from playwright.sync_api import sync_playwright

    page_text = "<!doctype html><meta charset=utf-8>" + "".join(shown.html for shown in everything)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.set_content(page_text)
        assert page.evaluate("document.querySelectorAll('script, img, a, iframe, [onerror]').length") == 0
        assert page.evaluate("typeof window.pwned") == "undefined"
        assert not [url for url in asked if not re.match("about:|data:", url)]
        browser.close()
