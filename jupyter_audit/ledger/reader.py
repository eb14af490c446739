"""
Reading a ledger that is being written: entries by number or by what they say, contents, checkpoints, proofs.

Reads only. A reader sees what other processes commit, never holds a transaction open between two pages,
and keeps no more than a page in memory. It shows what is stored; whether that is what was signed is
`verify`'s to say.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

from jupyter_audit.errors import LedgerError, SealedError
from jupyter_audit.ledger import merkle
from jupyter_audit.ledger.auditors import AuditorSecret
from jupyter_audit.ledger.content import ContentError, UnopenedError, open_salted
from jupyter_audit.ledger.damage import damaged
from jupyter_audit.ledger.envelope import CREATED, EnvelopeError, parse_moment
from jupyter_audit.ledger.places import StoredPlaces
from jupyter_audit.ledger.schema import contents_of, verify_schema
from jupyter_audit.ledger.store import connect, explain, explained
from jupyter_audit.ledger.tree import StoredTree
from jupyter_audit.model import Actor, Commitment, Entry

_PAGE = 256
_FEW = 16
"""Entries to begin with, where whoever asks may want no more."""
_READING = "read the ledger"
_CONTENT = "SELECT salt, encoding, data FROM content WHERE id >= ? AND id < ? AND name = ?"
_NEWEST_SIGNED = "FROM entry WHERE note IS NOT NULL ORDER BY seq DESC LIMIT 1"


def read_entry(seq: int, raw: object) -> Entry:
    """Return the entry stored under `seq`; raises `VerificationError` if it has not the form of one."""
    try:
        if not isinstance(raw, str):
            raise EnvelopeError("it is not text")
        value = json.loads(raw)
        if value["seq"] != seq:
            raise EnvelopeError(f"it says that its number is {value['seq']!r}")
        actor, contents = value["actor"], value.get("contents")
        return Entry(
            seq,
            parse_moment(value["time"]),
            value["type"],
            Actor(actor["name"], actor["vouched_by"]),
            value.get("grant"),
            value.get("session"),
            value["body"],
            {
                name: Commitment(content["digest"], content["size"], content["media_type"], content.get("sealed"))
                for name, content in contents.items()
            }
            if contents
            else {},
            raw,
        )
    except EnvelopeError as error:
        raise damaged("entry_form", f"Entry {seq} is damaged: {error}.", seq=seq) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise damaged("entry_form", f"Entry {seq} does not read as an entry.", seq=seq) from error


class LedgerReader:
    """
    A ledger, opened for reading. One instance for each thread.

    `auditors` are the secret keys that open sealed contents; without one, such contents are told of and not shown.
    """

    auditors: Sequence[AuditorSecret] = ()

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self.path = path
        self._tree = StoredTree(connection)
        self._places = StoredPlaces(connection)
        self.origin = self._read_origin()

    @classmethod
    def open(cls, path: Path, *, auditors: Sequence[AuditorSecret] = ()) -> LedgerReader:
        """
        Open the ledger at `path` for reading; `auditors` are secret keys that open what is sealed.

        Raises `LedgerMissingError` if there is none, `VerificationError` if it is not a ledger of a known
        format, `LedgerError` if it cannot be read.
        """
        connection = connect(path, writable=False)
        try:
            verify_schema(connection)
            reader = LedgerReader(connection, path)
            reader.auditors = tuple(auditors)
            return reader
        except (sqlite3.Error, UnicodeDecodeError) as error:
            connection.close()
            raise explain(error, "open the ledger") from error
        except BaseException:
            connection.close()
            raise

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection, for views of the reader's own thread; never for writing."""
        return self._connection

    def size(self) -> int:
        """Return how many entries are committed now, by any process."""
        try:
            row = self._connection.execute(f"SELECT seq + 1 {_NEWEST_SIGNED}").fetchone()
        except sqlite3.Error as error:
            raise explain(error, _READING) from error
        return 0 if row is None else int(row[0])

    def entry(self, seq: int) -> Entry:
        """Return entry `seq`; raises `LedgerError` if there is none."""
        row = self._one("SELECT raw FROM entry WHERE seq = ?", seq)
        if row is None:
            raise LedgerError(f"There is no entry {seq}; the ledger has {self.size()}.")
        return read_entry(seq, row[0])

    def entries(
        self,
        *,
        start: int = 0,
        stop: int | None = None,
        types: Collection[str] | None = None,
        session: str | None = None,
        grant: str | None = None,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> Iterator[Entry]:
        """
        Yield the entries from `start` up to, not including, `stop` that match every filter given.

        `types` holds exact types, or prefixes that end in a dot. What is appended after the first entry was
        asked for is not yielded. No filter reads more than it finds and one block, and memory stays flat.
        """
        size = self.size()
        stop = size if stop is None else min(stop, size)
        start = max(start, 0)
        found: Iterator[Entry]
        if session is None and grant is None and types is None:
            found = (read_entry(seq, raw) for seq, raw in self._pages(start, stop, newest_first))
        else:
            numbers = self.numbers(start, stop, types, session, grant, newest_first=newest_first)
            found = (read_entry(seq, raw) for seq, raw in self._rows(islice(numbers, limit)))
        yield from islice(found, limit)

    def numbers(
        self,
        start: int,
        stop: int,
        types: Collection[str] | None = None,
        session: str | None = None,
        grant: str | None = None,
        *,
        newest_first: bool = False,
    ) -> Iterator[int]:
        """Yield the numbers of the entries that `entries` would yield for these filters, one of them at least."""
        wanted: list[tuple[str, Collection[str]]] = []
        if session is not None:
            wanted.append(("session", [session]))
        if grant is not None:
            wanted.append(("grant", [grant]))
        size = self.size()
        if types is not None:
            wanted.append(("type", self._types(types, size)))
        return self._places.seqs(wanted, start, stop, size, newest_first=newest_first)

    def content(self, seq: int, name: str) -> bytes | None:
        """
        Return the content `name` of entry `seq`, or None if it was purged.

        Raises `LedgerError` if the entry has no such content, `SealedError` if none of the reader's `auditors` can open
        it, `VerificationError` if what is stored is not what the entry commits to.
        """
        salted = self.salted(seq, name)
        return None if salted is None else salted[1]

    def content_names(self) -> set[str]:
        """Return the names of all contents that are held. Raises `LedgerError` if they cannot be read."""
        with explained("read the ledger's contents"):
            return {str(name) for (name,) in self.connection.execute("SELECT DISTINCT name FROM content")}

    def salted(self, seq: int, name: str) -> tuple[bytes, bytes] | None:
        """Return salt and data of a content, as `content` does: with both its commitment can be made again."""
        return self._salted(self.entry(seq), name)

    def _salted(self, entry: Entry, name: str) -> tuple[bytes, bytes] | None:
        seq, commitment = entry.seq, entry.contents.get(name)
        if commitment is None:
            raise LedgerError(f"Entry {seq} has no content named {name}.")
        row = self._one(_CONTENT, *contents_of(seq, seq + 1), name)
        if row is None:
            return None
        try:
            return open_salted(commitment, *row, auditors=self.auditors)
        except UnopenedError as error:
            raise SealedError(
                f"Content {name} of entry {seq} is sealed for {', '.join(error.recipients)}.", recipients=error.recipients
            ) from error
        except ContentError as error:
            raise damaged(
                "content_changed", f"Content {name} of entry {seq} was changed: {error}.", seq=seq
            ) from error

    def checkpoint_note(self) -> str:
        """Return the newest checkpoint, as the signed note that others can keep and compare."""
        return self._note(self._one(f"SELECT note {_NEWEST_SIGNED}"), "")

    def checkpoint_at(self, size: int) -> str:
        """Return the checkpoint over the first `size` entries; raises `VerificationError` where none was made."""
        return self._note(self._one("SELECT note FROM entry WHERE seq = ?", size - 1), f" of size {size}")

    @staticmethod
    def _note(row: tuple[object, ...] | None, which: str) -> str:
        if row is None or not isinstance(row[0], str):
            raise damaged("checkpoint_missing", f"The ledger has no checkpoint{which}.")
        return row[0]

    def root(self, size: int) -> bytes:
        """Return the root hash of the first `size` entries, from what is stored."""
        with explained(_READING):
            return self._tree.root(size)

    def inclusion_proof(self, seq: int, size: int) -> list[bytes]:
        """Return the RFC 6962 path that shows entry `seq` in the tree of `size`; raises `ProofError`."""
        with explained(_READING):
            return merkle.inclusion_proof(self._tree.subtree, seq, size)

    def consistency_proof(self, old: int, new: int) -> list[bytes]:
        """Return the RFC 6962 proof that the tree of `new` extends that of `old`; raises `ProofError`."""
        with explained(_READING):
            return merkle.consistency_proof(self._tree.subtree, old, new)

    def close(self) -> None:
        """Close the connection. Closing twice is harmless."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _read_origin(self) -> str:
        row = self._one("SELECT raw FROM entry WHERE seq = 0")
        first = read_entry(0, row[0]) if row is not None else None
        origin = first.body.get("origin") if first is not None and first.type == CREATED else None
        if not isinstance(origin, str):
            raise damaged("origin", "The ledger does not begin with an entry that names its origin.", seq=0)
        return origin

    def _one(self, sql: str, *values: object) -> tuple[object, ...] | None:
        try:
            row: tuple[object, ...] | None = self._connection.execute(sql, values).fetchone()
        except OverflowError:
            return None  # no number in the file is that large
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise explain(error, _READING) from error
        return row

    def _types(self, wanted: Collection[str], size: int) -> list[str]:
        """Return the exact types among `wanted`, and those in the ledger that its prefixes stand for."""
        types = {kind for kind in wanted if not kind.endswith(".")}
        for prefix in {kind for kind in wanted if kind.endswith(".")}:
            types |= self._places.types(prefix, size)
        return sorted(types)

    def _rows(self, numbers: Iterator[int]) -> Iterator[tuple[int, object]]:
        """Yield (seq, raw) of these entries, some at a time: a question of its own for each takes twice as long."""
        size = _FEW
        while chunk := list(islice(numbers, size)):
            sql = "SELECT seq, raw FROM json_each(?) AS wanted CROSS JOIN entry ON seq = wanted.value"
            with explained(_READING):
                rows = self._connection.execute(sql, (json.dumps(chunk),)).fetchall()
            yield from rows
            size = _PAGE

    def _pages(self, start: int, stop: int, newest_first: bool) -> Iterator[tuple[int, object]]:
        """Yield (seq, raw) page by page; between two pages no read transaction is open."""
        order = "DESC" if newest_first else "ASC"
        sql = f"SELECT seq, raw FROM entry WHERE seq >= ? AND seq < ? ORDER BY seq {order} LIMIT {_PAGE}"  # noqa: S608 (our own words)
        while start < stop:
            with explained(_READING):
                page = self._connection.execute(sql, (start, stop)).fetchall()
            yield from page
            if len(page) < _PAGE:
                return
            if newest_first:
                stop = page[-1][0]
            else:
                start = page[-1][0] + 1
