"""The detections in a real server: what a person does in a notebook becomes findings within moments."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from support.servers import audited_server, wait_for

from jupyter_audit.ledger import LedgerReader


def a_span_without_now() -> str:
    """Working hours that are elsewhere in the day, whenever this runs."""
    begin = datetime.now(UTC) + timedelta(hours=3)
    return f"{begin:%H:%M}-{begin + timedelta(hours=2):%H:%M}"


def test_what_people_do_becomes_findings_in_a_running_server(tmp_path: Path) -> None:
    with audited_server(tmp_path, f"--JupyterAudit.working_hours={a_span_without_now()}") as server:
        client = server.kernel()
        for _ in range(5):
            client.wait(client.execute("print(1)"))
        burst = server.await_entry("finding.raised", lambda e: e.body["title"] == "Burst of refusals")
        assert len(burst.body["entries"]) == 5  # type: ignore[arg-type]

        grant = server.grant()
        client = server.kernel()
        client.printed("import subprocess as sp, sqlite3; con = sqlite3.connect(':memory:')")
        client.printed("con.execute('CREATE TABLE orders (id)')")
        client.printed("con.execute('SELECT * FROM orders').fetchall()")
        client.wait(client.execute("sp.run(['true'])"))
        client.wait(client.execute("for n in range(12_000): print(n)"))

        def titles() -> dict[str, int]:
            found = server.entries("finding.raised")
            return dict(Counter(str(finding.body["title"]) for finding in found))

        expected = {
            "Burst of refusals": 1,
            "Shell escape": 1,
            "Unlimited mass read": 2,
            "Work at an unusual hour": 1,
            "Write to production": 1,
        }
        wait_for(lambda: titles() == expected, f"{expected}, not {titles()}")
        under_grant = [e for e in server.entries("finding.raised") if e.body["title"] != "Burst of refusals"]
        assert {e.grant for e in under_grant} == {grant}
    with LedgerReader.open(server.home.ledger) as reader:
        (judged,) = reader.entries(types=["detection.judged"])
    assert isinstance(judged.body["through"], int)
    assert judged.body["through"] > burst.seq
