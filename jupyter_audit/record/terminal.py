"""
What is kept of a terminal: what was typed, but for passwords, and what came out, with its times.

Pure: no pty, no clock. Bounded: however much a program puts out, only so much is kept for each thing typed,
and the rest is counted and digested.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
from dataclasses import dataclass, field
from typing import Any

from jupyter_audit.model import Content, Draft, Json
from jupyter_audit.record import kinds

TERMINAL = "(terminal)"
"""Stands where a kernel's name stands in entries; no kernelspec can be called so."""

MOST_IN_ENTRY = 32 * 1024
"""Bytes of output after which an entry is full; the piece that fills it goes in whole."""

MOST_BETWEEN_INPUTS = 256 * 1024
"""Bytes of output that are kept until something is typed again; a program that never stops must not fill the disk."""

MOST_MASKED = 128
"""Characters of one line typed without echo that are left out. More than this is no password."""

MOST_MASKED_LINES = 5
"""Lines typed without echo, one after the other, that are left out. Who types more than these types something else."""

MERGED_MS = 15
"""Output that follows sooner than this is one event: a program that prints a table writes hundreds of pieces."""

_LINE_END = re.compile(r"[\r\n]")

MASK = "(typed without echo, not recorded)"


@dataclass(slots=True)
class TypedText:
    """
    Decides, for one terminal, how much of what is typed may be left out as a password.

    Only the line that a program reads without echo is left out: never what follows its end in the same
    message, which the shell may read; never a long line; never one after another without end. Else `stty -echo`
    would be a way to have commands run that nobody can read.
    """

    _lines: int = 0
    _length: int = 0

    def split(self, text: str, *, hidden: bool) -> tuple[str, str]:
        """Return what of `text` is to be left out, and what is kept. `hidden`: it is read without echo."""
        if not hidden:
            self._lines = self._length = 0
            return "", text
        end = _LINE_END.search(text)
        line = text[: end.end()] if end else text
        if self._lines >= MOST_MASKED_LINES or self._length + len(line) > MOST_MASKED:
            return "", text
        if end:
            self._lines, self._length = self._lines + 1, 0
        else:
            self._length += len(line)
        return line, text[len(line) :]


def input_draft_parts(terminal: str, at_ms: int, text: str, masked: str, kept: str) -> tuple[kinds.Kind, dict[str, Content]]:
    """Return the kind and the contents of the entry of something typed; `masked` and `kept` as `TypedText` split it."""
    kind = kinds.TerminalInput(
        kernel_id=terminal, at_ms=at_ms, bytes=len(text.encode("utf-8", "replace")), masked=bool(masked)
    )
    shown: dict[str, Json] = {"text": kept}
    if masked:
        shown["masked"] = MASK
    return kind, {"input": Content(_json(shown), "application/json")}


@dataclass(slots=True)
class OutputTape:
    """Gathers a terminal's output and sizes, and gives them as drafts. Times are milliseconds since its start."""

    terminal: str
    _events: list[tuple[int, str, str]] = field(default_factory=list)
    _kept: int = 0
    _budget: int = MOST_BETWEEN_INPUTS
    _bytes: int = 0
    _first_ms: int = 0
    _last_ms: int = 0
    _cut: bool = False
    _salt: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    _digest: Any = None

    def heard(self, at_ms: int, text: str) -> None:
        """Take in output."""
        data = text.encode("utf-8", "replace")
        self._begin(at_ms)
        self._bytes += len(data)
        self._digest.update(data)
        if len(data) > self._budget:
            self._cut = True
            data = data[: self._budget]
            text = data.decode("utf-8", "ignore")
        self._kept += len(data)
        self._budget -= len(data)
        if text:
            self._add(at_ms, "o", text)

    def resized(self, at_ms: int, rows: int, columns: int) -> None:
        """Take in a new size."""
        self._begin(at_ms)
        self._events = [event for event in self._events if event[1] != "r" or at_ms - event[0] > 1000]
        self._events.append((at_ms, "r", f"{columns}x{rows}"))

    def typed(self) -> None:
        """Something was typed: what comes out now is kept again."""
        self._budget = MOST_BETWEEN_INPUTS

    @property
    def waiting(self) -> bool:
        """Whether there is something to put down."""
        return self._digest is not None

    @property
    def full(self) -> bool:
        """Whether it should be put down at once."""
        return self._kept >= MOST_IN_ENTRY

    @property
    def exhausted(self) -> bool:
        """Whether output is only counted until something is typed."""
        return self._budget <= 0

    def take(self, *, grant: str | None, session: str) -> Draft:
        """Return the entry of what was gathered, and begin anew. Only while `waiting`."""
        kind = kinds.TerminalOutput(
            kernel_id=self.terminal,
            at_ms=self._first_ms,
            until_ms=self._last_ms,
            bytes=self._bytes,
            cut=self._cut,
        )
        told = {
            "salt": self._salt.hex(),
            "digest": "hmac-sha256:" + self._digest.hexdigest(),
            "events": [list(event) for event in self._events],
        }
        self._events, self._kept, self._bytes, self._cut, self._digest = [], 0, 0, False, None
        contents = {"output": Content(_json(told), "application/json")}
        return kinds.draft(kind, grant=grant, session=session, contents=contents)

    def _begin(self, at_ms: int) -> None:
        self._last_ms = at_ms
        if self._digest is None:
            self._first_ms = at_ms
            self._salt = secrets.token_bytes(16)
            self._digest = hmac.new(self._salt, digestmod="sha256")

    def _add(self, at_ms: int, kind: str, text: str) -> None:
        last = self._events[-1] if self._events else None
        if last is not None and last[1] == kind and at_ms - last[0] < MERGED_MS:
            self._events[-1] = (last[0], kind, last[2] + text)
        else:
            self._events.append((at_ms, kind, text))


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
