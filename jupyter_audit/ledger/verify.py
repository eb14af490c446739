"""
Verification: everything about a ledger file checked again, from the public key alone (P5, P7).

Trusts nothing that is stored: hashes are made anew from the entries, and caches are compared with them.
Streams; what is kept in memory does not grow with the ledger. Must never import the writer or a secret key.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from jupyter_audit.errors import UsageError, VerificationError
from jupyter_audit.ledger.auditors import AuditorSecret
from jupyter_audit.ledger.damage import damaged
from jupyter_audit.ledger.kept import Kept
from jupyter_audit.ledger.note import NoteError, VerifierKey, format_verifier_key, parse_verifier_key
from jupyter_audit.ledger.report import LedgerReport
from jupyter_audit.ledger.schema import verify_schema, verify_tables
from jupyter_audit.ledger.store import KEEP_AND_VERIFY, connect, explain
from jupyter_audit.ledger.walk import Progress, Walk, number_of

_MOST_NAMED = 20
"""Groups of auditors that a report names."""


def verify_ledger(
    path: Path,
    *,
    verifier_keys: Sequence[str],
    progress: Progress | None = None,
    since: str | None = None,
    auditors: Sequence[AuditorSecret] = (),
) -> LedgerReport:
    """
    Check the whole ledger at `path`, and return what was found in it.

    `verifier_keys` are the keys that the caller trusts; the ledger must begin under one of them. `since` is
    a checkpoint that was kept elsewhere; the ledger must extend it. `progress` is told entries done and in
    all. `auditors` are secret keys: what is sealed to them is opened, and compared too. Raises `VerificationError`,
    which names the damage and the first entry that shows it; `LedgerError` if there is nothing to read;
    `UsageError` for a key that is none.
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
    # 5. what is stored to save time (leaf hashes, subtree hashes, indexes) is what it should be;
    # 6. the ledger extends the checkpoint that the caller kept, if one was given.
    #
    # That everything was recorded in the first place no check of a ledger can show (docs/threat-model.md).
    trusted = [_parse_key(text) for text in verifier_keys]
    kept = None if since is None else Kept(since)
    connection = connect(path, writable=False)
    try:
        # Text that is not Unicode is to be found in its entry, not to fail the query.
        connection.text_factory = _decode
        connection.execute("BEGIN")  # one snapshot: a server may be appending meanwhile
        verify_tables(connection)  # (1)
        walk = Walk(connection, trusted, kept, progress, auditors)
        try:
            walk.run()
            return _conclude(walk)
        except VerificationError as error:
            named = walk.blame(error)
            if named is error:
                raise
            raise named from error
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


def _conclude(walk: Walk) -> LedgerReport:
    """Judge what only shows at the end (1, 3, 4, 5, 6), and report."""
    size = walk.tree.size
    if walk.previous is None or walk.first is None:
        raise damaged("origin", "The ledger has no entries.", seq=0)
    if walk.checkpoint[0] is not None:
        message = f"A checkpoint covers {walk.checkpoint[0]} entries, but the ledger ends after {size}."
        raise damaged("truncated", message, seq=size)
    if walk.checkpoint_end != size:
        message = f"The commit of entries {walk.commit.start} to {walk.commit.end - 1} is not whole."
        raise damaged("truncated" if walk.commit.end > size else "checkpoint_missing", message, seq=size)
    if walk.content[0] is not None:
        message = f"Content {walk.content[1]!r} is stored for entry {walk.content[0]}, which there is not."
        raise damaged("content_foreign", message, seq=number_of(walk.content[0]))
    (stored,) = walk.connection.execute("SELECT count(*) FROM subtree").fetchone()
    if stored != walk.subtrees:
        raise damaged(
            "subtree", f"{stored - walk.subtrees} of the stored subtree hashes are of no entries."
        )
    verify_schema(walk.connection)  # (1)
    (word,) = walk.connection.execute("PRAGMA integrity_check(1)").fetchone()
    if word != "ok":
        raise damaged("file", f"The file is damaged: {word}.", advice=KEEP_AND_VERIFY)
    _conclude_kept(walk, size)
    return LedgerReport(
        origin=walk.origin,
        keys=tuple(format_verifier_key(key) for key in walk.keys),
        entries=size,
        checkpoints=walk.checkpoints,
        first=walk.first,
        last=walk.previous.time,
        root=walk.tree.root().hex(),
        contents_held=walk.contents_held,
        contents_purged=walk.contents_purged,
        clock_went_back=walk.clock_went_back,
        since=None if walk.kept is None else walk.kept.checkpoint.size,
        not_checked=tuple(_not_checked(walk)),
        contents_sealed=walk.contents_opened + walk.sealed_for.total(),
        contents_opened=walk.contents_opened,
    )


def _conclude_kept(walk: Walk, size: int) -> None:
    if walk.kept is None:
        return
    walk.kept.verify_signer(walk.origin, [*walk.trusted, *walk.keys])
    if walk.kept.checkpoint.size > size:
        raise damaged(
            "rollback",
            f"The ledger has {size} entries; a checkpoint of {walk.kept.checkpoint.size} was kept.",
            advice="Entries were cut off, or an old copy was put back. Keep both, for evidence.",
            seq=size,
        )


def _not_checked(walk: Walk) -> Iterator[str]:
    if walk.kept is None:
        yield "whether the newest entries were cut off: no checkpoint kept elsewhere was given (--since)"
    if walk.contents_purged:
        yield f"what the purged contents ({walk.contents_purged}) were: only their commitments are left"
    for recipients, count in walk.sealed_for.most_common(_MOST_NAMED):
        yield f"what {count} sealed contents hold: they are sealed for {recipients}"
