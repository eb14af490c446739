"""
Makes `ledger-v1/`, the ledger that every later version must verify. Run once for each format, never again:

    python tests/vectors/build_ledger.py

The key is made for it and thrown away; nothing can be appended to the result.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "ledger"))

from ledger_story import SetClock, tell_story  # noqa: E402

from jupyter_audit.home import Home  # noqa: E402
from jupyter_audit.ledger import verify_ledger  # noqa: E402


def main() -> None:
    target = HERE / "ledger-v1"
    target.mkdir()
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "audit")
        kept = tell_story(home, SetClock())
        with closing(sqlite3.connect(home.ledger)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("VACUUM")
        shutil.copy(home.ledger, target / "ledger.db")
        shutil.copy(home.verifier_key, target / "ledger.vkey")
        (target / "kept.checkpoint").write_text(kept, encoding="utf-8")
    report = verify_ledger(
        target / "ledger.db", verifier_keys=[(target / "ledger.vkey").read_text()], since=kept
    )
    facts = {name: value for name, value in report.to_json().items() if name != "not_checked"}
    (target / "report.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    for suffix in ("-wal", "-shm"):
        (target / f"ledger.db{suffix}").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
