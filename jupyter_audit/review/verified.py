"""
The only door to a ledger for an auditor: nothing is read from it before all of it was verified (P5, P7).

Needs the public key alone. What is read afterwards is compared, entry by entry, with what was verified, so
that a file that is changed or replaced between the two is found out as well. Never writes, never reads a
secret.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from jupyter_audit.errors import KeyFileError, LedgerError, SealedError, VerificationError
from jupyter_audit.ledger import LedgerReader, LedgerReport, verify_ledger
from jupyter_audit.ledger.auditors import AuditorSecret
from jupyter_audit.ledger.checkpoint import parse_checkpoint
from jupyter_audit.ledger.envelope import PURGED
from jupyter_audit.ledger.merkle import CompactRange, leaf_hash
from jupyter_audit.ledger.note import NoteError, parse_note, parse_verifier_key
from jupyter_audit.ledger.purge import Selection, parse_selections
from jupyter_audit.ledger.store import connect, explained
from jupyter_audit.model import Entry
from jupyter_audit.record.masking import CONTENT as MASKED

_HASH = 32
_AGAIN = "Verify the ledger again. If nobody purged or replaced it on purpose, keep the file for evidence."

Progress = Callable[[int, int], None]


class VerifiedReader(LedgerReader):
    """
    A ledger that was verified, up to the entries that it had then. `report` says what was found.

    Later entries are not shown. Every entry that is read is hashed again and compared with the one that was
    verified; `VerificationError` if it is another one now.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        report: LedgerReport,
        auditors: Sequence[AuditorSecret] = (),
    ) -> None:
        super().__init__(connection, path)
        self.auditors = tuple(auditors)
        self.report = report
        self.origin = report.origin
        self._leaves = _leaves_of(connection, report)
        self._purged: Sequence[Selection] | None = None

    def size(self) -> int:
        """Return how many entries were verified."""
        return self.report.entries

    def entry(self, seq: int) -> Entry:
        """Return entry `seq`; raises `VerificationError` if it is not the one that was verified."""
        if not 0 <= seq < self.report.entries:
            raise LedgerError(f"There is no verified entry {seq}; {self.report.entries} were verified.")
        return self._same(super().entry(seq))

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
        """Yield what `LedgerReader.entries` does, each compared with what was verified."""
        found = super().entries(
            start=start,
            stop=stop,
            types=types,
            session=session,
            grant=grant,
            newest_first=newest_first,
            limit=limit,
        )
        return map(self._same, found)

    def content(self, seq: int, name: str) -> bytes | None:
        """
        Return the content `name` of entry `seq`, or None if an entry says that it was purged.

        Raises `VerificationError` if it is not what the entry commits to, or gone without such an entry.
        """
        held = super().content(seq, name)
        if held is None and not any(purge.covers(self.entry(seq), name) for purge in self._purges()):
            raise VerificationError(
                f"Content {name} of entry {seq} was removed since the ledger was verified.",
                damage="content_missing",
                seq=seq,
                advice=_AGAIN,
            )
        return held

    def checkpoint_note(self) -> str:
        """Return the signed checkpoint over exactly the verified entries: keep it for the next time."""
        with explained("read the ledger"):
            row = self._connection.execute(
                "SELECT note FROM entry WHERE seq = ?", (self.report.entries - 1,)
            ).fetchone()
        try:
            note = parse_note(row[0] if row is not None else "")
            note.verify([parse_verifier_key(key) for key in self.report.keys])
            checkpoint = parse_checkpoint(note.text)
        except (NoteError, TypeError) as error:
            raise _changed(f"The last verified checkpoint is no longer there: {error}.") from error
        if (checkpoint.size, checkpoint.root.hex()) != (self.report.entries, self.report.root):
            raise _changed("The last verified checkpoint is another one now.")
        return str(row[0])

    def _same(self, entry: Entry) -> Entry:
        known = self._leaves[_HASH * entry.seq : _HASH * (entry.seq + 1)]
        if leaf_hash(entry.raw.encode("utf-8", "surrogatepass")) != known:
            raise _changed(f"Entry {entry.seq} was changed since the ledger was verified.", entry.seq)
        return self._unmasked(entry) if self.auditors and MASKED in entry.contents else entry

    def _unmasked(self, entry: Entry) -> Entry:
        """Return the entry with what was masked in its body because contents are sealed; its `raw` stays as it was signed."""
        try:
            salted = self._salted(entry, MASKED)
            masked = json.loads(salted[1]) if salted is not None else {}
        except (SealedError, ValueError):
            return entry
        return entry._replace(body={**entry.body, **masked}) if isinstance(masked, dict) else entry

    def _purges(self) -> Sequence[Selection]:
        """Return which contents verified entries say were purged."""
        if self._purged is None:
            purges = self.entries(types=(PURGED,))
            self._purged = [selection for entry in purges for selection in parse_selections(entry)]
        return self._purged


def open_verified(
    path: Path,
    verifier_key: str | Path | Sequence[str],
    progress: Progress | None = None,
    *,
    since: str | None = None,
    auditors: Sequence[AuditorSecret] = (),
) -> VerifiedReader:
    """
    Verify the ledger at `path` from its public key alone; only then return a reader of it.

    `verifier_key` is the key's text (or several), or the path of the file that holds it. `since` is the text
    of a checkpoint that was remembered elsewhere: with it, rollback and truncation are found too. `auditors` are
    secret keys that open what is sealed to them. `progress`
    is told how many entries are done and how many there are. Raises `VerificationError` naming the first
    entry that is wrong, `LedgerMissingError`, `KeyFileError`, or `UsageError` for a key that is none.
    """
    keys = [_key_text(verifier_key)] if isinstance(verifier_key, str | Path) else list(verifier_key)
    report = verify_ledger(path, verifier_keys=keys, progress=progress, since=since, auditors=auditors)
    connection = connect(path, writable=False)
    try:
        return VerifiedReader(connection, path, report, auditors)
    except BaseException:
        connection.close()
        raise


def _key_text(key: str | Path) -> str:
    """A verifier key is `name+id+base64`; whatever is no key is taken for the path of its file."""
    if isinstance(key, str):
        try:
            parse_verifier_key(key)
        except NoteError:
            key = Path(key).expanduser()
        else:
            return key.strip()
    try:
        return key.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise KeyFileError(
            f"The verifier key {key} cannot be read: {error}.",
            advice="It is what `jupyter audit init` printed, kept in keys/ledger.vkey of the audit home.",
        ) from error


def _leaves_of(connection: sqlite3.Connection, report: LedgerReport) -> bytearray:
    """Return the leaf hashes of all verified entries; raises unless they give the verified root."""
    leaves = bytearray()
    tree = CompactRange()
    with explained("read the ledger"):
        rows = connection.execute(
            "SELECT raw FROM entry WHERE seq < ? ORDER BY seq", (report.entries,)
        )
        for (raw,) in rows:
            leaf = leaf_hash(str(raw).encode("utf-8", "surrogatepass"))
            leaves += leaf
            tree.append(leaf)
    if tree.size != report.entries or tree.root().hex() != report.root:
        raise _changed("The ledger was changed while it was being verified.")
    return leaves


def _changed(message: str, seq: int | None = None) -> VerificationError:
    return VerificationError(message, damage="entry_changed", seq=seq, advice=_AGAIN)
