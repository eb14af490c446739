"""Appends to a ledger, by itself, until it is done or killed; prints what was acknowledged, a line each."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from jupyter_audit.clock import SystemClock
from jupyter_audit.home import Home
from jupyter_audit.ledger import open_ledger
from jupyter_audit.model import Content, Draft


def main() -> None:
    home, name, commits = Home(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
    number = 0
    with open_ledger(home, clock=SystemClock()) as ledger:
        for commit in range(commits):
            drafts = [
                Draft(
                    "cell.admitted",
                    {"writer": name, "number": number + more},
                    session=name,
                    contents={"message": Content(f"print({number})".encode())},
                )
                for more in range(1 + commit % 3)
            ]
            number += len(drafts)
            for entry in ledger.append(drafts):
                print(json.dumps([entry.seq, entry.body["writer"], entry.body["number"]]), flush=True)


main()
