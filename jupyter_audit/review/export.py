"""
Entries written out for other programs: JSON lines that lose nothing, or SQLite tables for analysts. Reads only.

The lines hold what a proof needs: an entry's RFC 8785 spelling is the text that was hashed, and a content comes with the
salt of its digest. The tables hold what people ask for; they are made with sqlite-utils, and nobody signed them.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from jupyter_audit.errors import SealedError, VerificationError
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.ledger.schema import contents_of
from jupyter_audit.ledger.store import explained
from jupyter_audit.model import Entry
from jupyter_audit.record.kinds import CellAdmitted, CellFinished, CellRefused
from jupyter_audit.review.filters import Filters, find_owners, select
from jupyter_audit.review.search import content_text

if TYPE_CHECKING:
    from sqlite_utils import Database

FORMAT = "jupyter-audit/export@v1"

_BATCH = 500
_READING = "read the ledger"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is exported: entries before `stop` that pass `filters`, with their contents or without."""

    stop: int
    filters: Filters
    contents: bool = True


@dataclass(frozen=True, slots=True)
class Held:
    """
    A content as it stands in the ledger. `state` is `held`, `purged`, `sealed` or `damaged`.

    `data` is the content, for `sealed` ones the sealed bytes; None for the two others. `salt` is that of its digest.
    """

    state: str
    data: bytes | None = None
    salt: bytes = b""


def hold(reader: LedgerReader, entry: Entry, name: str) -> Held:
    """Return the content `name` of `entry`, checked against the entry."""
    try:
        salted = reader.salted(entry.seq, name)
    except VerificationError:
        return Held("damaged")
    except SealedError:
        return Held("sealed", _stored(reader, entry.seq, name))
    return Held("purged") if salted is None else Held("held", salted[1], salted[0])


def _stored(reader: LedgerReader, seq: int, name: str) -> bytes:
    with explained(_READING):
        sql = "SELECT data FROM content WHERE id >= ? AND id < ? AND name = ?"
        row = reader.connection.execute(sql, (*contents_of(seq, seq + 1), name)).fetchone()
    return b"" if row is None else bytes(row[0])  # purged at this very moment


# --- JSON lines -----------------------------------------------------------------------------------


def export_lines(reader: LedgerReader, wanted: Wanted) -> Iterator[dict[str, Any]]:
    """
    Yield the objects to write, one a line: first `ledger`, then `entry` with `contents`, and `checkpoint`.

    Without filters every checkpoint stands after the last entry that it covers, so that the whole can be verified from
    the lines alone; with filters the newest one stands at the end.
    """
    first = reader.entry(0)
    yield {
        "ledger": reader.origin,
        "format": FORMAT,
        "verifier_key": first.body.get("verifier_key"),
        "entries": wanted.stop,
        "filtered": bool(wanted.filters),
        "with_contents": wanted.contents,
    }
    for entry in select(reader, wanted.filters, stop=wanted.stop):
        line: dict[str, Any] = {"entry": json.loads(entry.raw)}
        if entry.contents and wanted.contents:
            line["contents"] = {name: _content_line(hold(reader, entry, name)) for name in entry.contents}
        yield line
        if not wanted.filters:
            yield from _checkpoint_line(reader, entry.seq + 1)
    if wanted.filters:
        yield from _checkpoint_line(reader, wanted.stop)


def _content_line(held: Held) -> dict[str, str]:
    match held.state, held.data:
        case "held", bytes(data):
            salt = {"salt": b64encode(held.salt).decode()}
            try:
                return {**salt, "text": data.decode("utf-8")}
            except UnicodeDecodeError:
                return {**salt, "data": b64encode(data).decode()}
        case "sealed", bytes(data):
            return {"sealed": b64encode(data).decode()}
    return {"missing": held.state}


def _checkpoint_line(reader: LedgerReader, size: int) -> Iterator[dict[str, Any]]:
    with explained(_READING):
        row = reader.connection.execute("SELECT note FROM entry WHERE seq = ?", (size - 1,)).fetchone()
    if row is not None and row[0] is not None:
        yield {"checkpoint": row[0]}


# --- tables ---------------------------------------------------------------------------------------

_ABOUT = {"format": str, "ledger": str, "verifier_key": str, "entries": int, "checkpoint": str}
_ENTRIES = dict.fromkeys(("time", "type", "actor", "vouched_by", "person", "grant", "session", "body"), str)
_CELLS = {
    "time": str,
    "person": str,
    "session": str,
    "grant": str,
    "refused": str,
    "canary": int,
    "code": str,
    "status": str,
    "error": str,
    "duration_ms": int,
    "output": str,
}


def export_tables(reader: LedgerReader, wanted: Wanted, database: Database) -> int:
    """
    Fill an empty database: `about`, `entries`, `contents`, and `cells` with what became of them. Returns how many entries.

    Cells are searchable by SQLite's FTS5 (`cells_fts`), which Datasette shows as a search box.
    """
    owners = find_owners(reader)
    with database.atomic():
        database.table("about").create(_ABOUT, strict=True)
        database.table("entries").create({"seq": int, **_ENTRIES}, pk="seq", strict=True)
        database.table("contents").create(
            {"seq": int, "name": str, "media_type": str, "size": int, "state": str, "text": str},
            pk=("seq", "name"),
            foreign_keys=[("seq", "entries", "seq")],
            strict=True,
        )
        database.table("cells").create(
            {"seq": int, **_CELLS}, pk="seq", foreign_keys=[("seq", "entries", "seq")], strict=True
        )
        database.table("about").insert(
            {
                "format": FORMAT,
                "ledger": reader.origin,
                "verifier_key": reader.entry(0).body.get("verifier_key"),
                "entries": wanted.stop,
                "checkpoint": next(_checkpoint_line(reader, wanted.stop), {}).get("checkpoint"),
            }
        )
    entries, count = select(reader, wanted.filters, stop=wanted.stop), 0
    while batch := list(islice(entries, _BATCH)):
        with database.atomic():
            for entry in batch:
                _put_entry(reader, wanted, database, entry, owners.get(entry.session or "", entry.actor.name))
        count += len(batch)
    with database.atomic():
        for column in ("type", "person", "session", "grant"):
            database.table("entries").create_index([column])
    database.table("cells").enable_fts(["code", "output"])
    return count


def _put_entry(reader: LedgerReader, wanted: Wanted, database: Database, entry: Entry, person: str) -> None:
    envelope = {"time": json.loads(entry.raw)["time"], "person": person, "session": entry.session, "grant": entry.grant}
    body = json.dumps(entry.body, ensure_ascii=False)
    row = {"seq": entry.seq, "type": entry.type, "actor": entry.actor.name, "vouched_by": entry.actor.vouched_by, "body": body}
    database.table("entries").insert({**envelope, **row})
    texts = {}
    if wanted.contents:
        for name, commitment in entry.contents.items():
            held = hold(reader, entry, name)
            text = held.data.decode("utf-8", "replace") if held.state == "held" and held.data is not None else None
            texts[name] = None if text is None else content_text(name, text)[1]
            facts = {"media_type": commitment.media_type, "size": commitment.size, "state": held.state, "text": text}
            database.table("contents").insert({"seq": entry.seq, "name": name, **facts})
    body_of = entry.body.get
    if entry.type in (CellAdmitted.TYPE, CellRefused.TYPE):
        cell = {"refused": body_of("cause"), "canary": int(body_of("canary") is True), "code": texts.get("message")}
        database.table("cells").insert({"seq": entry.seq, **envelope, **cell})
    elif entry.type == CellFinished.TYPE:
        ended = [body_of("status"), body_of("error"), body_of("duration_ms"), texts.get("outputs"), body_of("admitted")]
        sql = "UPDATE cells SET status = ?, error = ?, duration_ms = ?, output = ? WHERE seq = ?"
        database.execute(sql, ended)
