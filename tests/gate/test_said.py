"""What sessions write into the server's log: each line says whose it is, shows what it is, and there is an end of them."""

from __future__ import annotations

from jupyter_audit.gate.said import LONGEST_LINE, MOST_BYTES, Said


def test_lines_bear_the_session_and_nothing_that_moves_a_terminal() -> None:
    said = Said("s-1")
    assert said.lines(b"one\ntw") == ["[s-1] one\n"]
    assert said.lines(b"o\x1b[2J\r\xff\t\xc3\xa9\xe2\x80\xa8\n\n") == ["[s-1] two\\x1b[2J\\r\\xff\t\u00e9\\u2028\n", "[s-1] \n"]
    assert said.lines(b"and no end") == []
    assert said.lines(b"") == ["[s-1] and no end\n"]


def test_a_line_without_an_end_is_not_kept_for_ever() -> None:
    said = Said("s-1")
    [line] = said.lines(b"x" * (LONGEST_LINE + 1))
    assert line == f"[s-1] {'x' * (LONGEST_LINE + 1)}\n"
    assert said.lines(b"") == []


def test_a_session_cannot_fill_the_disk_that_the_log_is_on() -> None:
    said = Said("s-1")
    written = [line for _ in range(MOST_BYTES // 100) for line in said.lines(b"x" * 199 + b"\n")]
    assert sum(map(len, written)) < MOST_BYTES * 1.1
    assert written[-1].endswith("[s-1] (the rest of what this session writes is left out)\n")
    assert said.lines(b"more\n") == []
