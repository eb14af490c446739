"""Several processes answer at once: the ledger's order decides, for everybody in the same way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from jupyter_audit.access.book import GrantBook
from jupyter_audit.access.policy import Policy
from jupyter_audit.access.service import AccessService
from jupyter_audit.clock import SystemClock
from jupyter_audit.home import Home
from jupyter_audit.ledger import LedgerReader, create_ledger, open_ledger
from jupyter_audit.model import SERVER, Principal
from jupyter_audit.settings import JupyterAudit

SETTINGS = {"roles": {"engineer": ["ada"], "approver": ["bob", "cyn"]}}

ANSWERER = """
import json, sys
from pathlib import Path
from jupyter_audit.access.policy import Policy
from jupyter_audit.access.service import AccessService
from jupyter_audit.clock import SystemClock
from jupyter_audit.errors import AccessError
from jupyter_audit.home import Home
from jupyter_audit.ledger import open_ledger
from jupyter_audit.model import Principal
from jupyter_audit.settings import JupyterAudit

home, settings, who, act, targets = json.loads(sys.argv[1])
policy, clock = Policy.from_settings(JupyterAudit(**settings)), SystemClock()
ledger = open_ledger(Home(Path(home)), clock=clock)
access, person = AccessService(ledger.transact, policy, clock), Principal(who, "test", policy.roles_of(who))
acts = {
    "approve": lambda target: access.approve(person, target),
    "withdraw": lambda target: access.withdraw(person, target),
    "revoke": lambda target: access.revoke(person, target, "enough"),
}
print("ready", flush=True)
sys.stdin.readline()
done = []
for target in targets:
    try:
        acts[act](target)
        done.append(target)
    except AccessError:
        pass
ledger.close()
print(json.dumps(done))
"""


def race(home: Home, targets: list[str], *answerers: tuple[str, str]) -> list[list[str]]:
    """Have each (who, act) answer all targets at the same time; return what each of them got done."""
    running = []
    for who, act in answerers:
        given = json.dumps([str(home.path), SETTINGS, who, act, targets])
        running.append(
            subprocess.Popen(
                [sys.executable, "-c", ANSWERER, given],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    results = []
    for process in running:
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        results.append(json.loads(out))
    return results


def test_concurrent_answers_are_decided_by_the_ledger_once_each(tmp_path: Path) -> None:
    home, clock = Home(tmp_path / "audit"), SystemClock()
    create_ledger(home, clock=clock, actor=SERVER)
    policy = Policy.from_settings(JupyterAudit(**SETTINGS, pending_requests=30))
    ada = Principal("ada", "test", policy.roles_of("ada"))
    ledger = open_ledger(home, clock=clock)
    access = AccessService(ledger.transact, policy, clock)
    asked = [
        access.request(ada, profile="production-debug", reason="orders are stuck", ticket="T-1").id
        for _ in range(30)
    ]
    ledger.close()

    bob, cyn, withdrawn = race(home, asked, ("bob", "approve"), ("cyn", "approve"), ("ada", "withdraw"))

    assert sorted([*bob, *cyn, *withdrawn]) == sorted(asked)
    book = GrantBook()
    with LedgerReader.open(home.ledger) as reader:
        book.refresh(reader)
    now = book.now(clock.now())
    assert sorted(grant.request for grant in book.live("ada", now)) == sorted([*bob, *cyn])
    assert book.anomalies() == []

    grants = [grant.id for grant in book.live("ada", now)]
    first, second = race(home, grants, ("bob", "revoke"), ("ada", "revoke"))

    assert sorted([*first, *second]) == sorted(grants)
    rebuilt = GrantBook()
    with LedgerReader.open(home.ledger) as reader:
        rebuilt.refresh(reader)
        book.refresh(reader)
    assert rebuilt.live("ada", rebuilt.now(clock.now())) == ()
    assert rebuilt.grants() == book.grants()
    assert rebuilt.anomalies() == []
