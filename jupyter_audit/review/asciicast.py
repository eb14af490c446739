"""
A terminal's session as an asciicast, version 2, which asciinema and others play.

https://docs.asciinema.org/manual/asciicast/v2/: a header, then one event a line: seconds, kind, data. Kind `i` is
what was typed, `o` what came out, `r` a new size, `m` a marker, for what an asciicast has no other word for: masked
input, refusals, output that was not kept or was purged. Pure. What it holds is the terminal's own output, control
sequences and all: it is for a player, never for printing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from jupyter_audit.errors import NotFoundError
from jupyter_audit.model import Entry
from jupyter_audit.record import kinds
from jupyter_audit.record.terminal import TERMINAL

ContentOf = Callable[[int, str], bytes | None]
"""Returns a content of an entry by the entry's number and the content's name; None if it was purged."""

WIDTH, HEIGHT = 80, 24

Event = tuple[int, str, str]


def asciicast(session: str, entries: Iterable[Entry], content_of: ContentOf) -> Iterator[str]:
    """
    Yield the lines of the asciicast of `session`, whose `entries` are given in ledger order.

    Raises `NotFoundError` if they are not those of a terminal.
    """
    started: Entry | None = None
    events: list[Event] = []
    for entry in entries:
        if entry.type == kinds.SessionStarted.TYPE and entry.body.get("kernel_name") == TERMINAL:
            started = entry
        else:
            events.extend(_events_of(entry, content_of))
    if started is None:
        raise NotFoundError(
            f"{session} is no terminal's session.",
            advice="`jupyter audit log --type session.started` lists sessions; a terminal's kernel_name is (terminal).",
        )
    header = {
        "version": 2,
        "width": WIDTH,
        "height": HEIGHT,
        "timestamp": int(started.time.timestamp()),
        "title": f"{session}, terminal of {started.actor.name}, entry {started.seq}",
        "env": {"TERM": "xterm-256color"},
    }
    yield _line(header)
    # What was typed is put down before what came out earlier is: by their times they come in order.
    for at_ms, kind, data in sorted(events, key=lambda event: event[0]):
        yield _line([at_ms / 1000, kind, data])


def _events_of(entry: Entry, content_of: ContentOf) -> list[Event]:
    at_ms = _whole(entry.body.get("at_ms"))
    if entry.type == kinds.TerminalOutput.TYPE:
        held = _content(entry, "output", content_of)
        events = [event for raw in held.get("events", []) if (event := _event(raw)) is not None] if held else []
        if not held:
            events.append((at_ms, "m", f"{entry.body.get('bytes')} bytes of output, purged (entry {entry.seq})"))
        elif entry.body.get("cut"):
            said = f"not all of {entry.body.get('bytes')} bytes of output was kept (entry {entry.seq})"
            events.append((_whole(entry.body.get("until_ms")), "m", said))
        return events
    if entry.type == kinds.TerminalInput.TYPE:
        held = _content(entry, "input", content_of)
        events = []
        if held is None:
            events.append((at_ms, "m", f"{entry.body.get('bytes')} bytes typed, purged (entry {entry.seq})"))
        else:
            if entry.body.get("masked"):
                events.append((at_ms, "m", f"typed without echo, not recorded (entry {entry.seq})"))
            if text := str(held.get("text", "")):
                events.append((at_ms, "i", text))
        return events
    if entry.type == kinds.TerminalRefused.TYPE:
        said = f"{entry.body.get('bytes')} bytes of {entry.actor.name} refused: {entry.body.get('cause')}"
        return [(at_ms, "m", f"{said} (entry {entry.seq})")]
    return []


def _content(entry: Entry, name: str, content_of: ContentOf) -> dict[str, Any] | None:
    data = content_of(entry.seq, name) if name in entry.contents else None
    try:
        held = json.loads(data) if data is not None else None
    except ValueError:
        return None
    return held if isinstance(held, dict) else None


def _event(raw: object) -> Event | None:
    if isinstance(raw, list) and len(raw) == 3 and type(raw[0]) is int and raw[1] in ("o", "r") and isinstance(raw[2], str):
        return raw[0], raw[1], raw[2]
    return None


def _whole(value: object) -> int:
    return value if type(value) is int else 0


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"
