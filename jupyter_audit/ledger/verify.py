"""
Verification: everything about a ledger file checked again, from the public key alone (P5, P7).

Trusts nothing that is stored: hashes are made anew from the entries, and caches are compared with them.
Streams; what is kept in memory does not grow with the ledger. Must never import the writer or a secret key.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from jupyter_audit.clock import format_time
from jupyter_audit.errors import LedgerError, UsageError, VerificationError
from jupyter_audit.ledger.auditors import AuditorSecret
from jupyter_audit.ledger.crew import Crew, Task, cores, seldom_collecting
from jupyter_audit.ledger.damage import damaged
from jupyter_audit.ledger.envelope import PURGED, EnvelopeError, parse_envelope
from jupyter_audit.ledger.glance import Glance
from jupyter_audit.ledger.integrity import integrity
from jupyter_audit.ledger.kept import Kept, Witnesses
from jupyter_audit.ledger.note import NoteError, VerifierKey, format_verifier_key, parse_verifier_key
from jupyter_audit.ledger.pieces import (
    Piece,
    Walked,
    cut,
    entries_of_type,
    entries_that_look_so,
    keys_named,
    rows_from,
    stored_size,
    walk_piece,
)
from jupyter_audit.ledger.purge import Purges, Selection, parse_selections
from jupyter_audit.ledger.report import Before, LedgerReport
from jupyter_audit.ledger.schema import verify_schema, verify_tables
from jupyter_audit.ledger.store import KEEP_AND_VERIFY, connect, end_circles, explain
from jupyter_audit.ledger.walk import NO_ROW, Counts, Row, Rows, Standing, Terms, Walk, number_of, owner_of

_log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]

_WORTH_A_CREW = 32 * 1024 * 1024
"""Bytes: of a smaller ledger, starting processes takes longer than they save."""

_MOST_NAMED = 20
"""Groups of auditors that a report names."""


def verify_ledger(
    path: Path,
    *,
    verifier_keys: Sequence[str],
    progress: Progress | None = None,
    since: str | None = None,
    auditors: Sequence[AuditorSecret] = (),
    workers: int | None = None,
    witness_keys: Sequence[str] = (),
    cosigned: Sequence[str] = (),
) -> LedgerReport:
    """
    Check the whole ledger at `path`, and return what was found in it.

    `verifier_keys` are the keys that the caller trusts; the ledger must begin under one of them. `since` is
    a checkpoint that was kept elsewhere; the ledger must extend it. `progress` is told entries done and in
    all. `auditors` are secret keys: what is sealed to them is opened, and compared too. `workers` is how many
    processes walk at the same time (by default, one for each core if the ledger is large); the verdict does not
    depend on it. Each witness in `witness_keys` must have cosigned one of the checkpoints in `cosigned`; the ledger
    must extend those too. Raises `VerificationError`, which names the damage and the first entry that shows it;
    `LedgerError` if there is nothing to read; `UsageError` for a key that is none.
    """
    # To believe a ledger, all of this must hold (docs/ledger-format.md numbers the same steps):
    #
    # 1. the file has exactly the schema of the format (what only speeds up or guards is looked at last, so
    #    that a changed entry is named even where the insider left the triggers off);
    # 2. entries are numbered 0, 1, 2, …, each in its only spelling; entry 0 names the origin, and a key that
    #    the caller trusts; none is earlier than the one before it without saying so;
    # 3. where a commit ends there is a checkpoint, and nowhere else; its root is that of the entries before
    #    it, and the key in force signed it;
    # 4. content is what its entry commits to, and where it is missing an entry says that it was purged;
    # 5. what is stored to save time (leaf hashes, subtree hashes, places) is what it should be;
    # 6. the ledger extends the checkpoint that the caller kept, if one was given, and those that witnesses cosigned.
    #
    # That everything was recorded in the first place no check of a ledger can show (docs/threat-model.md).
    trusted = [_parse_key(text) for text in verifier_keys]
    kept = None if since is None else Kept(since)
    witnesses = Witnesses(witness_keys, cosigned)
    with Crew((_workers(path) if workers is None else workers) - 1, path) as crew:
        return _verify(path, trusted, kept, witnesses, auditors, progress, crew)


def _workers(path: Path) -> int:
    """Return how many processes are worth it; this one is one of them."""
    try:
        return cores() if path.stat().st_size >= _WORTH_A_CREW else 1
    except OSError:  # whoever opens it says what is wrong with it
        return 1


def _verify(
    path: Path,
    trusted: Sequence[VerifierKey],
    kept: Kept | None,
    witnesses: Witnesses,
    auditors: Sequence[AuditorSecret],
    progress: Progress | None,
    crew: Crew,
) -> LedgerReport:
    connection = connect(path, writable=False)
    try:
        # Text that is not Unicode is to be found in its entry, not to fail the query.
        connection.text_factory = _decode
        connection.execute("BEGIN")  # one snapshot: a server may be appending meanwhile
        end_circles(connection)
        verify_tables(connection)  # (1)
        compared = [*([] if kept is None else [kept]), *witnesses.kept]
        terms = Terms(trusted, compared, _purges(entries_of_type(connection, PURGED)), auditors)
        verification = _Verification(path, connection, terms, progress)
        try:
            try:
                verification.walk_at_once(crew)
                report = verification.conclude()
            except VerificationError:
                # The stored places may hide a purge; what they hide must not be taken for the damage.
                purges = _purges(entries_that_look_so(connection, PURGED))
                if purges == terms.purges:
                    raise
                verification = _Verification(path, connection, replace(terms, purges=purges), progress)
                report = verification.conclude()
            return replace(
                report,
                since=None if kept is None else kept.checkpoint.size,
                witnesses=tuple(witnesses.said(report.entries)),
            )
        # Kept in a variable here, an error would hold this frame, with it the cursors, and so the file's lock.
        except VerificationError as error:
            raise verification.named(error) from error.__cause__
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise verification.explained(error) from error
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise explain(error, "verify the ledger") from error
    finally:
        connection.close()


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _parse_key(text: str) -> VerifierKey:
    try:
        return parse_verifier_key(text)
    except NoteError as error:
        raise UsageError(
            f"That is not a verifier key: {error}.",
            advice="`jupyter audit init` printed it; it is in keys/ledger.vkey of the audit home.",
        ) from error


def _purges(rows: Iterable[Row]) -> Purges:
    """Read what was purged, before the entries it was purged from come by."""
    purges: dict[int, Sequence[Selection]] = {}
    for seq, raw in rows:
        try:
            entry = parse_envelope(str(raw)).entry
        except EnvelopeError:
            continue  # the walk will come to it and say so
        if entry.type != PURGED:
            continue
        try:
            purges[number_of(seq)] = parse_selections(entry)
        except EnvelopeError as error:
            raise damaged("entry_form", f"Entry {seq} is damaged: {error}.", seq=number_of(seq)) from error
    return Purges(purges)


class _Verification:
    """The walk through a ledger: at a glance wherever nothing is wrong, in pieces at the same time; the rest in turn."""

    def __init__(self, path: Path, connection: sqlite3.Connection, terms: Terms, progress: Progress | None) -> None:
        self._path = path
        self._connection = connection
        self._progress = progress
        self._total = stored_size(connection)
        self.terms = terms
        self.walk = Walk(terms, Standing())
        self._word: str | None = None
        self._told = 0

    def before(self) -> Before:
        """Return what was found whole so far."""
        walk, last = self.walk, None
        with contextlib.suppress(sqlite3.Error):
            sql = "SELECT time FROM entry WHERE seq = ?"
            last = self._connection.execute(sql, (walk.checkpoint_end - 1,)).fetchone()
        keys = tuple(map(format_verifier_key, walk.keys))
        first = "" if last is None or walk.counts.first is None else format_time(walk.counts.first)
        return Before(walk.origin, keys, walk.checkpoint_end, self._total, first, str(last[0]) if last else "")

    def named(self, error: VerificationError) -> VerificationError:
        """Return the damage to be named where the walk or the end of it came upon `error`, with what was whole before it."""
        named = self.walk.blame(error)
        named.before = self.before()
        return named

    def explained(self, error: sqlite3.Error | UnicodeDecodeError) -> LedgerError:
        """Return what an error of SQLite's means for the verification."""
        told = explain(error, "verify the ledger")
        if isinstance(told, VerificationError):
            told.before = self.before()
        return told

    def walk_at_once(self, crew: Crew) -> None:
        """Get as far as pieces fit together; raises `VerificationError` for the first entry that shows a damage."""
        keys, pieces = keys_named(self._connection), list(cut(self._connection))
        crew.brief(Task(self._path, self.terms, keys))
        glance = Glance(self.terms)

        def here(piece: Piece) -> Walked | None:
            self._connection.text_factory = str
            return walk_piece(glance, self._connection, keys, piece)

        with crew, seldom_collecting():  # which lets it go: what is walked in turn from here on is walked by this process alone
            self.join(pieces, crew.walk(pieces, here))
            self._word = crew.word()

    def join(self, pieces: Iterable[Piece], results: Iterable[Walked | None]) -> None:
        """Put walked pieces together. What does not fit is walked in turn, and everything if that ends elsewhere."""
        for piece, walked in zip(pieces, results, strict=True):
            if walked is not None and walked.began == self.walk.standing():
                counts = self.walk.counts
                counts.add(walked.counts)
                self.walk = Walk(self.terms, walked.ended)
                self.walk.counts = counts
                self._tell(walked.ended.size)
                continue
            self._go(rows_from(self._connection, piece.start, piece.stop))
            if not self.walk.ended() or self.walk.tree.size != piece.stop:
                return

    def walk_in_turn(self) -> None:
        """Walk on to the last entry; raises `VerificationError` for the first that shows a damage."""
        self._go(rows_from(self._connection, self.walk.tree.size))
        self._tell(self.walk.tree.size)

    def conclude(self) -> LedgerReport:
        """Walk to the end, and judge what only shows there; raises `VerificationError`."""
        self.walk_in_turn()
        return _conclude(self.walk, self.terms, self._connection, self._word)

    def _go(self, rows: Rows) -> None:
        self._connection.text_factory = _decode
        self.walk.go(rows, self._tell)

    def _tell(self, done: int) -> None:
        if self._progress is not None and done > self._told:
            self._told = done
            self._progress(done, self._total)


def _conclude(
    walk: Walk, terms: Terms, connection: sqlite3.Connection, word: str | None
) -> LedgerReport:
    """Judge what only shows at the end (1, 3, 4, 5, 6), and report; `word` is what SQLite said of the file, if it was asked."""
    size, counts = walk.tree.size, walk.counts
    if walk.time is None or counts.first is None:
        raise damaged("origin", "The ledger has no entries.", seq=0)
    if walk.checkpoint_end != size:
        start, end = walk.commit.start, walk.commit.end
        message = f"Entries {start} to {end - 1} are one commit, and the last entry that is there is {size - 1}."
        raise damaged("truncated", message, seq=size)
    if walk.content is not NO_ROW:
        message = f"Content {walk.content[1]!r} is stored for entry {owner_of(walk.content)}, which there is not."
        raise damaged("content_foreign", message, seq=owner_of(walk.content))
    if connection.execute("SELECT 1 FROM subtree LIMIT 1 OFFSET ?", (counts.subtrees,)).fetchone():
        raise damaged("subtree", "There are stored subtree hashes of no entries.")
    if connection.execute("SELECT 1 FROM place LIMIT 1 OFFSET ?", (counts.places,)).fetchone():
        raise damaged("place", "There are stored places of no entries.")
    verify_schema(connection)  # (1)
    word = word or integrity(connection)
    if word != "ok":
        raise damaged("file", f"The file is damaged: {word}.", advice=KEEP_AND_VERIFY)
    for kept in terms.kept:
        kept.conclude(walk.origin, [*terms.trusted, *walk.keys], size, counts.forks)
    return LedgerReport(
        origin=walk.origin,
        keys=tuple(format_verifier_key(key) for key in walk.keys),
        entries=size,
        checkpoints=counts.checkpoints,
        first=counts.first,
        last=walk.time,
        root=walk.tree.root().hex(),
        contents_held=counts.contents_held,
        contents_purged=counts.contents_purged,
        clock_went_back=counts.clock_went_back,
        since=None,
        not_checked=tuple(_not_checked(terms, counts)),
        contents_sealed=counts.contents_opened + counts.sealed_for.total(),
        contents_opened=counts.contents_opened,
    )


def _not_checked(terms: Terms, counts: Counts) -> Iterator[str]:
    if not terms.kept:
        yield "whether the newest entries were cut off: no checkpoint kept elsewhere was given (--since, --witness-key)"
    if counts.contents_purged:
        yield f"what the purged contents ({counts.contents_purged}) were: only their commitments are left"
    for recipients, count in counts.sealed_for.most_common(_MOST_NAMED):
        yield f"what {count} sealed contents hold: they are sealed for {recipients}"
