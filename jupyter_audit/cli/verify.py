"""`jupyter audit verify | checkpoint`: proving the ledger whole, and what to keep for the next proof."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from jupyter_audit.access.passkey import PREFIX, PasskeyError, public_of, text_of
from jupyter_audit.cli.context import home_of, named_home
from jupyter_audit.cli.damage import damage_json, damage_text, verdict
from jupyter_audit.cli.options import add_auditor_key, add_command, auditors_of
from jupyter_audit.cli.output import clean_block, print_json
from jupyter_audit.cli.proven import verify_proof
from jupyter_audit.errors import AuditError, LedgerMissingError, UsageError, VerificationError
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.ledger.anchors import newest_kept
from jupyter_audit.ledger.cosignature import parse_witness_key
from jupyter_audit.ledger.note import NoteError, format_verifier_key, parse_verifier_key
from jupyter_audit.ledger.verify import verify_ledger
from jupyter_audit.ledger.witness_sink import cosigned_path
from jupyter_audit.review.approvals import TYPES as APPROVALS
from jupyter_audit.review.approvals import judge_approvals

FORGED_APPROVALS = 10
"""What `verify` exits with where the ledger is whole, and an answer or a key in it is not its approver's."""


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    command = add_command(
        commands,
        "verify",
        verify,
        "prove the ledger whole with its public key alone",
        about="Needs the ledger's file and the key, no server and no secret. If anything was "
        "changed, removed, inserted, reordered or cut off, it names the first entry that shows it, and exits with a code "
        "for each class of damage.",
        examples="  jupyter audit verify\n  jupyter audit verify --ledger copy.db --key ledger.vkey --since last-week.checkpoint",
    )
    command.add_argument("--ledger", metavar="FILE", help="the ledger's file (default: the home's)")
    command.add_argument(
        "--key",
        action="append",
        metavar="VKEY",
        help="verifier key, or a file that holds it; repeatable (default: the home's, which proves less)",
    )
    command.add_argument(
        "--since",
        metavar="FILE",
        help="a checkpoint kept from before, or the file of an anchor: finds what was cut off or put back (a copy put back from "
        "before a key change shows as `remembered`, as another ledger's checkpoint does)",
    )
    command.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that share the work (default: one for each core if the ledger is large); the verdict is the same",
    )
    command.add_argument(
        "--witness-key",
        action="append",
        metavar="WKEY",
        help="demand the cosignature of the witness with this key, or a file that holds it; repeatable. It is looked for in "
        "the folder `cosigned` beside the ledger, and in --cosigned",
    )
    command.add_argument(
        "--cosigned",
        action="append",
        metavar="FILE",
        help="a checkpoint with a witness's cosignature, best as the witness itself gave it; repeatable",
    )
    command.add_argument(
        "--approver-key",
        action="append",
        default=[],
        metavar="NAME=KEY",
        help="the key or passkey of an approver as they told it themselves (or a file that holds it); repeatable. A "
        "registration of another one that it did not sign in is found to be forged (docs/signed-approvals.md)",
    )
    command.add_argument("--proof", metavar="FILE", help="check this file of `jupyter audit prove` instead; needs no ledger")
    add_auditor_key(command)
    command = add_command(
        commands,
        "checkpoint",
        checkpoint,
        "print the newest checkpoint, for others to keep",
        about="It is a C2SP signed note. Whoever keeps it can tell later with `verify --since` whether "
        "anything up to it was changed, even by somebody who holds the key.",
        examples="  jupyter audit checkpoint > elsewhere/2026-11-24.checkpoint",
    )
    command.add_argument("--ledger", metavar="FILE", help="the ledger's file (default: the home's)")


WITH_A_LEDGER_ONLY = ("--ledger", "--since", "--witness-key", "--cosigned", "--approver-key", "--workers")
"""Options that say something of a ledger, and nothing of a proof."""


def verify(options: argparse.Namespace) -> int:
    """Prove the ledger whole; say exactly what is wrong where it is not."""
    # An auditor has a copy of the file, the key and none of the server's settings; they are no part of the proof.
    needs_home = not (options.key and (options.ledger or options.proof))
    home = named_home(options) if needs_home else home_of(options)
    path = Path(options.ledger) if options.ledger else home.ledger
    keys = [_key(text) for text in options.key or [str(home.verifier_key)]]
    auditors = auditors_of(options)
    if options.proof:
        unused = [name for name in WITH_A_LEDGER_ONLY if getattr(options, name.removeprefix("--").replace("-", "_"))]
        if unused:
            raise UsageError(
                f"--proof is checked without a ledger, and without {', '.join(unused)}.",
                advice="Check the proof and the ledger in two commands.",
            )
        return verify_proof(_read(Path(options.proof)), keys, auditors, as_json=options.json)
    if options.ledger and not path.is_file():
        advice = "Name the ledger's file: ledger.db of the audit home, or a copy of it."
        raise LedgerMissingError(f"There is no ledger's file at {path}.", advice=advice)
    if options.workers is not None and options.workers < 1:
        raise UsageError("--workers is the number of processes, 1 or more.")
    since = newest_kept(_read(Path(options.since))) if options.since else None
    pins = _pins(options.approver_key)
    witness_keys = [_key(text) for text in options.witness_key or ()]
    if options.cosigned and not witness_keys:
        raise UsageError("--cosigned needs --witness-key: whose cosignature it must have.")
    progress = _Progress() if sys.stderr.isatty() else None
    try:
        report = verify_ledger(
            path,
            verifier_keys=keys,
            progress=progress,
            since=since,
            auditors=auditors,
            workers=options.workers,
            witness_keys=witness_keys,
            cosigned=[*map(_read, map(Path, options.cosigned or ())), *_kept_cosigned(path, witness_keys)],
        )
    except VerificationError as error:
        if options.json:
            print_json({"verdict": verdict(error), "file": str(path), **damage_json(error, keys, witness_keys)})
            return error.exit_code
        print(clean_block(damage_text(error, path, keys, witness_keys, options.since), indent=""), flush=True)
        if not sys.stdout.isatty():
            raise  # who files the report sees why, too
        return error.exit_code
    except AuditError as error:
        if options.json:
            print_json({"verdict": "unknown", "detail": str(error), "advice": error.advice})
        raise
    finally:
        if progress is not None:
            progress.clear()
    with closing(LedgerReader.open(path)) as reader:
        approvals = judge_approvals(reader.entries(types=APPROVALS, stop=report.entries), report.origin, pins)
    code = FORGED_APPROVALS if approvals.forged else 0
    if options.json:
        found = "forged approvals" if approvals.forged else "whole"
        print_json({"verdict": found, "file": str(path), **report.to_json(), "approvals": approvals.to_json()})
        return code
    told = approvals.text()
    text = f"{'File':<14}{path}\n{report.text()}"
    print(clean_block(f"{text}\n{told}" if told else text, indent=""))
    if not options.key:
        print("Note          the key came from beside the ledger; give the one kept elsewhere with --key")
    if approvals.forged:
        print(
            "The ledger is as it was signed, but somebody who held its key wrote what approvers did not sign.\n"
            "Keep it for evidence, and ask the approvers named.",
            file=sys.stderr,
        )
    return code


def _pins(given: Sequence[str]) -> dict[str, list[str]]:
    """Return the keys that approvers told the auditor. Raises `UsageError`."""
    pins: dict[str, list[str]] = {}
    for text in given:
        name, separator, key = text.partition("=")
        if not separator or not name:
            raise UsageError(f"--approver-key reads NAME=KEY, not {text!r}.")
        try:
            pins.setdefault(name, []).append(_public(key))
        except (NoteError, PasskeyError) as error:
            advice = "`jupyter audit keys mine show` prints it, on the approver's machine; a passkey's stands in their panel."
            raise UsageError(f"That is not the key of {name}: {error}.", advice=advice) from error
    return pins


def _public(key: str) -> str:
    """Return the text of an approver's key or passkey, given as such or by the file that holds it."""
    text = key.strip() if key.startswith(f"{PREFIX}:") else _key(key)
    if not text.startswith(f"{PREFIX}:"):
        return format_verifier_key(parse_verifier_key(text))
    return text_of(public_of(text))


def _kept_cosigned(ledger: Path, witness_keys: Sequence[str]) -> Iterator[str]:
    """Yield what the server kept beside the ledger of these witnesses."""
    for text in witness_keys:
        try:
            path = cosigned_path(ledger.parent / "cosigned", parse_witness_key(text))
        except NoteError:
            continue  # told by whoever verifies with it
        if path.exists():
            yield _read(path)


def checkpoint(options: argparse.Namespace) -> int:
    """Print the newest signed note."""
    path = Path(options.ledger) if options.ledger else named_home(options).ledger
    with closing(LedgerReader.open(path)) as reader:
        note = reader.checkpoint_note()
        if options.json:
            print_json({"origin": reader.origin, "size": reader.size(), "note": note})
        else:
            print(note, end="")
    return 0


def _key(text: str) -> str:
    """Return a verifier key given as such (NAME+ID+KEY, C2SP signed-note), or by the file that holds it."""
    path = Path(text)
    try:
        is_file = path.is_file()
    except (OSError, ValueError):
        is_file = False
    return text.strip() if text.count("+") >= 2 and not is_file else _read(path).strip()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}.") from error


class _Progress:
    """Shows on a terminal how far the verification is, once in a hundred."""

    def __init__(self) -> None:
        self._shown = -1

    def __call__(self, done: int, total: int) -> None:
        share = 100 * done // total if total else 100
        if share != self._shown:
            self._shown = share
            print(f"\rverifying {done} of {total} entries ({share} %)", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line away."""
        print("\r\033[K", end="", file=sys.stderr, flush=True)
