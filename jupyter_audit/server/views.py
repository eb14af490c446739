"""
What the REST API and the panel show, as JSON-ready dictionaries (openapi.yaml has the schemas).

Reads the ledger and nothing else. Whatever a person or a kernel wrote is passed on as it is: making it
harmless is the business of whoever puts it on a page. Nothing is shown that `Sight` does not allow.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jupyter_audit.access.inwords import rules_in_words, version
from jupyter_audit.access.profiles import Profile
from jupyter_audit.clock import format_time
from jupyter_audit.errors import LedgerError, NotFoundError, NotPermittedError, SealedError
from jupyter_audit.gate.sessions import Session
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.model import Entry
from jupyter_audit.record import kinds
from jupyter_audit.server.sight import Sight

View = dict[str, Any]

FIRST_LINE = 160
MOST_CODE = 256 * 1024
"""Of one cell's code, in characters; the ledger holds the whole."""

MOST_SCANNED = 5_000
"""Entries that one page looks at. A page can be short of its limit, or empty, and still go on."""

CELL_TYPES = (kinds.CellAdmitted.TYPE, kinds.CellRefused.TYPE, kinds.CellFinished.TYPE)
REFUSAL_TYPES = (
    kinds.CellRefused.TYPE,
    kinds.MessageRefused.TYPE,
    kinds.SessionRefused.TYPE,
    kinds.RequestRefused.TYPE,
    kinds.AccessRefused.TYPE,
)
WITHOUT_SESSION = frozenset(
    {kinds.SessionRefused.TYPE, kinds.RequestRefused.TYPE, kinds.AccessRefused.TYPE, kinds.FindingRaised.TYPE}
)
"""Types that can stand outside of any session."""


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of a listing. `following`: the number to go on after; `anothers`: whether any is not one's own."""

    rows: list[View]
    anothers: bool
    following: int | None = None


def session_view(session: Session) -> View:
    """Return a live session as the API shows it."""
    return {
        "id": session.id,
        "kernel_id": session.kernel_id,
        "kernel_name": session.kernel_name,
        "owner": session.owner.name,
        "grant": session.grant,
        "started": format_time(session.started),
        "state": session.state.value,
        "isolation": session.isolation.value,
        "network": str(session.network),
        "notebook": session.notebook,
        "running": len(session.capture.running()),
        "watched_by": list(session.watched_by),
    }


def profile_view(profile: Profile) -> View:
    """Return a profile as the API shows it."""
    return {
        "name": profile.name,
        "default_minutes": profile.default_minutes,
        "longest_minutes": profile.longest_minutes,
        "shortest_reason": profile.shortest_reason,
        "ticket_pattern": profile.ticket_pattern,
        "self_approval": profile.self_approval,
        "approvals": profile.approvals,
        "signed_approvals": profile.signed_approvals,
        "approvers": list(profile.approvers),
        "requesters": list(profile.requesters),
        "targets": list(profile.targets),
        "hours": "" if profile.hours is None else str(profile.hours),
        "advance_days": profile.advance_days,
        "extensions": profile.extensions,
        "break_glass": profile.break_glass,
        "break_glass_minutes": profile.break_glass_minutes,
        "weekly_hours": profile.weekly_hours,
        "weekly_extensions": profile.weekly_extensions,
        "weekly_break_glass": profile.weekly_break_glass,
        "kernels": list(profile.kernels),
        "notebooks": list(profile.notebooks),
        "guardrails": {one.name: one.mode.value for one in profile.guardrails},
        "terminals": profile.terminals,
        "cell_approval": profile.cell_approval,
        "cell_approval_minutes": profile.cell_approval_minutes,
        "recovery": profile.recovery,
    }


def rules_view(profile: Profile, *, acknowledged: bool) -> View:
    """Return a profile with its rules in words, and whether whoever looks acknowledged them as they are now."""
    return {
        **profile_view(profile),
        "acknowledge": profile.acknowledge,
        "acknowledged": acknowledged,
        "version": version(profile),
        "rules": rules_in_words(profile),
    }


def entry_view(entry: Entry) -> View:
    """Return an entry as the API shows it: all that was signed, without the contents."""
    return {
        "seq": entry.seq,
        "time": format_time(entry.time),
        "type": entry.type,
        "actor": {"name": entry.actor.name, "vouched_by": entry.actor.vouched_by},
        "grant": entry.grant,
        "session": entry.session,
        "body": entry.body,
        "contents": {
            name: {"digest": content.digest, "size": content.size, "media_type": content.media_type}
            for name, content in entry.contents.items()
        },
    }


def entry_page(
    reader: LedgerReader,
    sight: Sight,
    *,
    types: Collection[str] | None,
    session: str | None,
    grant: str | None,
    after: int | None,
    limit: int,
    newest_first: bool,
) -> Page:
    """
    Return a page of entries, to go on after the number `after` in the order asked for.

    Looks at `MOST_SCANNED` entries at most, so that somebody who may see few of many waits no longer.
    """
    size = reader.size()
    start, stop = 0, size
    if after is not None:
        start, stop = (0, min(size, after)) if newest_first else (min(size, after + 1), size)
    rows: list[View] = []
    anothers = False
    matching = reader.entries(
        start=start, stop=stop, types=types, session=session, grant=grant, newest_first=newest_first
    )
    for scanned, entry in enumerate(matching, start=1):
        if sight.may_see(entry):
            rows.append(entry_view(entry))
            anothers = anothers or sight.is_anothers(entry)
        if len(rows) >= limit or scanned >= MOST_SCANNED:
            return Page(rows, anothers, following=entry.seq)
    return Page(rows, anothers)


def cell_page(reader: LedgerReader, sight: Sight, live: Collection[str], limit: int) -> Page:
    """
    Return the newest cells that may be seen, admitted and refused, with what became of them.

    `live` are the sessions that live now: without an end, a cell of another is `unfinished`, not `running`.
    """
    ends: dict[Any, Entry] = {}
    rows: list[View] = []
    anothers = False
    for entry in _newest(reader, sight, CELL_TYPES):
        if entry.type == kinds.CellFinished.TYPE:
            ends[entry.body.get("admitted")] = entry
        elif not entry.body.get("canary"):
            rows.append(_cell_view(reader, entry, ends.get(entry.seq), live))
            anothers = anothers or sight.is_anothers(entry)
            if len(rows) >= limit:
                break
    return Page(rows, anothers)


def cell_detail(reader: LedgerReader, sight: Sight, live: Collection[str], seq: int) -> tuple[View, bool]:
    """
    Return one cell with its whole code and what is kept of its outputs, and whether it is another's.

    Raises `NotFoundError` if entry `seq` is no cell, `NotPermittedError` if the principal may not see it.
    """
    entry = reader.entry(seq) if seq < reader.size() else None
    if entry is None or entry.type not in (kinds.CellAdmitted.TYPE, kinds.CellRefused.TYPE):
        advice = "Cells are entries of the types cell.admitted and cell.refused."
        raise NotFoundError(f"Entry {seq} is no cell.", advice=advice)
    if not sight.may_see(entry):
        advice = "Auditors, approvers and admins read other people's cells."
        raise NotPermittedError(f"Cell {seq} is {entry.actor.name}'s.", advice=advice)
    end = _end_of(reader, entry)
    code = code_of(reader, entry)
    detail = {
        **_cell_view(reader, entry, end, live),
        "full_code": code[:MOST_CODE] if code is not None else None,
        "code_cut": code is not None and len(code) > MOST_CODE,
        "previews": _previews(reader, end),
    }
    return detail, sight.is_anothers(entry)


def refusal_page(reader: LedgerReader, sight: Sight, limit: int) -> Page:
    """Return the newest refusals that may be seen: of cells, other messages, kernels, and acts of access."""
    rows: list[View] = []
    anothers = False
    for entry in _newest(reader, sight, REFUSAL_TYPES):
        rows.append(_refusal_view(reader, entry))
        anothers = anothers or sight.is_anothers(entry)
        if len(rows) >= limit:
            break
    return Page(rows, anothers)


def finding_page(
    reader: LedgerReader, sight: Sight, owner_of: Callable[[str | None, str | None], str | None], limit: int
) -> Page:
    """Return the newest findings that may be seen. `owner_of` says whose a session or a grant was."""
    rows: list[View] = []
    anothers = False
    for entry in _newest(reader, sight, (kinds.FindingRaised.TYPE,)):
        found = kinds.read(entry, kinds.FindingRaised)
        rows.append(
            {
                "seq": entry.seq,
                "time": format_time(entry.time),
                "principal": owner_of(entry.session, entry.grant) or entry.actor.name,
                "session": entry.session,
                "grant": entry.grant,
                "rule": found.rule,
                "title": found.title,
                "level": found.level,
                "explanation": found.explanation,
                "entries": list(found.entries),
            }
        )
        anothers = anothers or sight.is_anothers(entry)
        if len(rows) >= limit:
            break
    return Page(rows, anothers)


def code_of(reader: LedgerReader, entry: Entry) -> str | None:
    """Return the code that a cell's entry holds; None if it was purged, is sealed, or is no text."""
    code = _parsed(_held(reader, entry, "message")).get("code")
    return code if isinstance(code, str) else None


def is_sealed(reader: LedgerReader, entry: Entry) -> bool:
    """Say whether a cell's code is held and only auditors can read it."""
    if "message" not in entry.contents:
        return False
    try:
        reader.content(entry.seq, "message")
    except SealedError:
        return True
    return False


def _held(reader: LedgerReader, entry: Entry, name: str) -> bytes | None:
    try:
        return reader.content(entry.seq, name) if name in entry.contents else None
    except SealedError:
        return None


def first_line(code: str | None) -> str:
    """Return the first line of some code that says something, cut to what a list can show."""
    if code is None:
        return ""
    line = next((line.strip() for line in code.splitlines() if line.strip()), "")
    return line[:FIRST_LINE] + ("…" if len(line) > FIRST_LINE else "")


def outputs_in_words(outputs: Sequence[Mapping[str, Any]]) -> str:
    """Return what a cell put out, in a few words: rows of tables, lines printed, kinds of pictures."""
    words: list[str] = []
    plain: list[str] = []
    for output in outputs:
        kind, mime, rows = str(output.get("output", "")), str(output.get("mime", "")), output.get("rows")
        size, lines = int(output.get("bytes") or 0), int(output.get("lines") or 0)
        if kind == "stream:stdout":
            words.append(f"printed {counted(lines, 'line')}")
        elif kind == "stream:stderr":
            words.append(f"{counted(lines, 'line')} to stderr")
        elif kind == "more":
            words.append(counted(int(output.get("count") or 0), "more output"))
        elif kind == "error":
            continue
        elif rows is not None:
            words.append(f"table of {counted(int(rows), 'row')}")
        elif mime == "text/plain":
            plain.append(f"text, {size_in_words(size)}")
        else:
            words.append(f"{mime or kind}, {size_in_words(size)}")
    # A table or a picture comes with a plain text that says the same; only alone is that worth a word.
    once = list(dict.fromkeys(words or plain))
    return "; ".join(once[:4]) + ("; …" if len(once) > 4 else "")


def counted(number: int, noun: str) -> str:
    """Return `1 row`, `50,000 rows`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def size_in_words(size: int) -> str:
    """Return a number of bytes as people write it."""
    for unit, factor in (("MB", 1_000_000), ("kB", 1_000)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return counted(size, "byte")


def _newest(reader: LedgerReader, sight: Sight, types: Collection[str]) -> Iterator[Entry]:
    """Yield the entries of these types that may be seen, newest first, looking at so many at most."""
    if sight.everything:
        matching = reader.entries(types=types, newest_first=True)
    else:
        # One's own sessions by their index; what is one's own outside of any session comes by its type.
        streams: list[Iterator[Entry]] = [
            reader.entries(types=types, session=session, newest_first=True)
            for session in sight.newest_sessions
        ]
        outside = WITHOUT_SESSION.intersection(types)
        if outside:
            others = reader.entries(types=outside, newest_first=True, limit=MOST_SCANNED)
            streams.append(entry for entry in others if entry.session is None)
        matching = heapq.merge(*streams, key=lambda entry: entry.seq, reverse=True)
    for scanned, entry in enumerate(matching, start=1):
        if sight.may_see(entry):
            yield entry
        if scanned >= MOST_SCANNED:
            return


def _cell_view(reader: LedgerReader, entry: Entry, end: Entry | None, live: Collection[str]) -> View:
    refused = entry.type == kinds.CellRefused.TYPE
    status = "running" if entry.session in live else "unfinished"
    if refused:
        status = "refused"
    elif end is not None:
        status = str(end.body.get("status"))
    code = code_of(reader, entry)
    sealed = code is None and is_sealed(reader, entry)
    outputs = end.body.get("outputs", []) if end else []
    return {
        "seq": entry.seq,
        "time": format_time(entry.time),
        "principal": entry.actor.name,
        "session": entry.session,
        "grant": entry.grant,
        "code": first_line(code),
        "purged": code is None and not sealed,
        "sealed": sealed,
        "lines": entry.body.get("lines", 0),
        "refused": entry.body.get("cause") if refused else None,
        "status": status,
        "error": end.body.get("error", "") if end else "",
        "duration_ms": end.body.get("duration_ms") if end else None,
        "waited_ms": end.body.get("waited_ms", 0) if end else None,
        "outputs": outputs,
        "put_out": outputs_in_words(outputs if isinstance(outputs, list) else []),
    }


def _refusal_view(reader: LedgerReader, entry: Entry) -> View:
    body = entry.body
    what = {
        kinds.CellRefused.TYPE: lambda: first_line(code_of(reader, entry)) or "a cell",
        kinds.MessageRefused.TYPE: lambda: _message_in_words(reader, entry),
        kinds.SessionRefused.TYPE: lambda: f"start of a kernel ({body.get('kernel_name')})",
        kinds.RequestRefused.TYPE: lambda: f"{body.get('method')} {body.get('path')}",
        kinds.AccessRefused.TYPE: lambda: f"{body.get('action')} {body.get('target')}",
    }[entry.type]()
    return {
        "seq": entry.seq,
        "time": format_time(entry.time),
        "type": entry.type,
        "principal": entry.actor.name,
        "session": entry.session,
        "what": what,
        "cause": str(body.get("cause", "")),
    }


_MORE: dict[str, tuple[str, ...]] = {
    "debug_request": ("command",),
    "history_request": ("hist_access_type",),
    "comm_open": ("target_name",),
    "comm_msg": ("data", "method"),
}
"""Where in a message its type's own kind of it stands."""


def _message_in_words(reader: LedgerReader, entry: Entry) -> str:
    """Return the type of a refused message; of some with what of that type it is, where that is held and can be read."""
    name = str(entry.body.get("msg_type") or "a message that does not parse")
    if name not in _MORE:
        return name
    more: object
    try:
        more = _parsed(_held(reader, entry, "message"))
    except LedgerError:
        return name
    for member in _MORE[name]:
        more = more.get(member) if isinstance(more, dict) else None
    return f"{name} {more[:40]}" if isinstance(more, str) else name


def _end_of(reader: LedgerReader, cell: Entry) -> Entry | None:
    if cell.session is None:
        return None
    for entry in reader.entries(start=cell.seq, session=cell.session, types=(kinds.CellFinished.TYPE,)):
        if entry.body.get("admitted") == cell.seq:
            return entry
    return None


def _previews(reader: LedgerReader, end: Entry | None) -> list[View]:
    """Return the first part of each output's text, as far as it was kept, not purged and not sealed."""
    held = _held(reader, end, "outputs") if end is not None else None
    previews = []
    for output in _parsed(held).get("outputs", []):
        named = {key: str(output.get(key, "")) for key in ("output", "mime", "preview")}
        previews.append({**named, "cut": bool(output.get("cut"))})
    return previews


def _parsed(held: bytes | None) -> dict[str, Any]:
    if held is None:
        return {}
    try:
        value = json.loads(held)
    except ValueError as error:
        raise LedgerError("A content of the ledger is not the JSON that was put into it.") from error
    return value if isinstance(value, dict) else {}
