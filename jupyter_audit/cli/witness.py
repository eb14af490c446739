"""`jupyter audit witness`: a witness, to be run on another machine than the ledgers it watches."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jupyter_audit.cli.options import add_command
from jupyter_audit.cli.output import print_json
from jupyter_audit.clock import SystemClock
from jupyter_audit.errors import UsageError
from jupyter_audit.home import default_home
from jupyter_audit.ledger.cosignature import format_witness_key
from jupyter_audit.ledger.note import NoteError, VerifierKey, parse_verifier_key
from jupyter_audit.witness.cosigner import load_cosigner
from jupyter_audit.witness.folder import WitnessFolder
from jupyter_audit.witness.memory import Memory

LISTEN = "127.0.0.1:8650"


def add_commands(commands: Any) -> None:
    """Add the command of this module."""
    command = add_command(
        commands,
        "witness",
        witness,
        "run a witness that cosigns what a ledger's checkpoints say, as long as it only grows",
        about="To be run on another machine, by other people than those who hold the ledger. `init` makes its key, once; "
        "without a word it serves C2SP tlog-witness, until it is stopped. It cosigns for the ledgers whose keys you "
        "name and for no others. See docs/anchors.md.",
        examples="  jupyter audit witness init --name witness.example.org/w1\n"
        "  jupyter audit witness --ledger-key /etc/witness/ledgers.vkey --listen 0.0.0.0:8650",
        of_home=False,
    )
    command.add_argument("action", nargs="?", choices=["init"], help="make the key and an empty memory, once")
    command.add_argument(
        "--folder", metavar="DIR", help="the witness's folder (default: jupyter-audit-witness in this account's data folder)"
    )
    command.add_argument("--name", metavar="NAME", help="for init: the name it signs under, a URL without https://")
    command.add_argument(
        "--ledger-key",
        action="append",
        metavar="VKEY",
        help="the verifier key of a ledger to witness, or a file with one on each line; repeatable",
    )
    command.add_argument("--listen", metavar="HOST:PORT", default=LISTEN, help=f"where to listen (default: {LISTEN})")


def witness(options: argparse.Namespace) -> int:
    """Make a witness, or run it."""
    folder = WitnessFolder(Path(options.folder).absolute() if options.folder else _default_folder())
    if options.action == "init":
        return _init(folder, options)
    if not options.ledger_key:
        raise UsageError(
            "Name the ledgers to witness with --ledger-key VKEY.",
            advice="`jupyter audit init` printed it; it is in keys/ledger.vkey of the audit home.",
        )
    host, port = _address(options.listen)
    keys = ledger_keys(options.ledger_key)
    folder.check()
    clock = SystemClock()
    cosigner = load_cosigner(folder.secret, clock)
    memory = Memory.open(folder.memory, cosigner.key)
    # Tornado comes with ipykernel; it is imported here so that no other command waits for it.
    from jupyter_audit.witness.http import make_application, serve
    from jupyter_audit.witness.service import Witness

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    log = logging.getLogger("jupyter-audit.witness")
    served = Witness(cosigner, memory, keys, clock, log)

    def ready(url: str) -> None:
        if options.json:
            print_json({"url": url, "verifier_key": format_witness_key(cosigner.key), "ledgers": served.origins})
        else:
            print(f"{cosigner.key.name} witnesses {', '.join(served.origins)}\nSet c.JupyterAudit.anchors there to:")
            print(f"  witness+{url}#{format_witness_key(cosigner.key)}")
        sys.stdout.flush()

    try:
        asyncio.run(serve(make_application(served, log), host, port, ready))
    finally:
        memory.close()
    return 0


def _init(folder: WitnessFolder, options: argparse.Namespace) -> int:
    if not options.name:
        raise UsageError("Name the witness with --name, such as witness.example.org/w1. It stands in each cosignature.")
    key = folder.create(options.name)
    if options.json:
        print_json({"folder": str(folder.path), "verifier_key": key})
        return 0
    print(f"Created the witness in {folder.path}. Let nobody else into it, and never restore it from a backup.")
    print(f"Its key, for the ledger's admin and for auditors (verify --witness-key):\n  {key}")
    return 0


def ledger_keys(texts: Sequence[str]) -> list[VerifierKey]:
    """Return the keys that are named, each as such or by a file with one on each line. Raises `UsageError`."""
    found = []
    for text in texts:
        path = Path(text)
        try:
            # A verifier key is no path that somebody could mean: it holds plus signs and no file is called so.
            lines = [text] if "+" in text and not path.exists() else path.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise UsageError(f"{text} is neither a verifier key nor a file of them that can be read: {error}.") from error
        for line in filter(None, map(str.strip, lines)):
            try:
                found.append(parse_verifier_key(line))
            except NoteError as error:
                raise UsageError(f"That is not a ledger's verifier key: {error}.") from error
    return found


def _address(text: str) -> tuple[str, int]:
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"That is no address to listen at: {text}.", advice=f"Such as {LISTEN} or [::1]:8650.")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _default_folder() -> Path:
    return default_home().with_name("jupyter-audit-witness")
