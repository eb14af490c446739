"""Verifies a copy of a ledger in a process that does nothing else, as the command does; then waits with a crew to be killed."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

from jupyter_audit.ledger import LedgerReader, verify_ledger
from jupyter_audit.ledger.crew import Crew, _may_fork


def main() -> None:
    path, key = Path(sys.argv[1]), sys.argv[2]
    said: dict[str, object] = {"alone": _may_fork(path)}
    said["entries"] = verify_ledger(path, verifier_keys=[key], workers=2).entries
    said["alone again"] = _may_fork(path)
    with LedgerReader.open(path):
        said["with the ledger open"] = _may_fork(path)
    go = threading.Event()
    other = threading.Thread(target=go.wait)
    other.start()
    said["with another thread"] = _may_fork(path)
    go.set()
    other.join()
    with Crew(2, path) as crew:
        said["crew"] = [process.pid for process in crew._processes]
        print(json.dumps(said), flush=True)
        sys.stdin.read()


main()
