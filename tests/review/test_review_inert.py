"""What an auditor looks at can do nothing to the auditor, and hides nothing from them."""

from __future__ import annotations

import unicodedata
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_audit.review.inert import escape, escape_line, inert, one_line

ANY_TEXT = st.text(st.characters())  # lone surrogates included
HIDING = {"Cc", "Cf", "Cs", "Zl", "Zp"}


@given(ANY_TEXT)
def test_no_character_that_acts_or_hides_is_left(text: str) -> None:
    shown = inert(text)
    assert not [c for c in shown if c not in "\n\t" and unicodedata.category(c) in HIDING]
    shown.encode("utf-8")


@given(st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp"))))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert inert(text) == text


@given(ANY_TEXT)
def test_no_tag_and_no_attribute_can_be_begun(text: str) -> None:
    for shown in (escape(text), escape_line(text)):
        assert not set("<>\"'") & set(shown)


@given(ANY_TEXT)
def test_html_reads_back_as_the_inert_text(text: str) -> None:
    read: list[str] = []
    parser = HTMLParser()
    parser.handle_data = read.append  # type: ignore[assignment,method-assign]
    parser.feed(f"<pre>{escape(text)}</pre>")
    parser.close()
    assert "".join(read) == inert(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "⟨ESC⟩[31mred"),
        ("a\x00b", "a⟨NUL⟩b"),
        ("\x9b2J", "⟨U+009B⟩2J"),
        ("\u202eelif", "⟨U+202E⟩elif"),
        ("a\u200bb", "a⟨U+200B⟩b"),
        ("\ud800", "⟨U+D800⟩"),
        ("one\r\ntwo\rthree", "one\ntwo⟨CR⟩three"),
        ("\U000e0041", "⟨U+E0041⟩"),
    ],
)
def test_what_would_act_or_hide_is_named(text: str, shown: str) -> None:
    assert inert(text) == shown


def test_a_cut_says_how_much_is_missing() -> None:
    assert inert("x" * 1_000_000, 10) == "x" * 10 + "\n… 999,990 more characters"
    assert one_line("x\ny" * 100, 5).endswith("…")
    assert "\n" not in one_line("a\nb\tc")
