"""Who may do what over the REST API: every address, every role."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from support.servers import AuditedServer
from web_house import ROLES, TOKENS, Person, description, hold_cell

from jupyter_audit.server.api import ROUTES

People = Callable[[str | None], Person]

ANONYMOUS, ENGINEER, OTHER, APPROVER, AUDITOR, ADMIN, ROLELESS = None, "erin", "otto", "ana", "aude", "adam", "nina"
EVERYBODY = (ANONYMOUS, ENGINEER, APPROVER, AUDITOR, ADMIN, ROLELESS)

ASKED = {"profile": "production-debug", "reason": "orders are charged twice", "ticket": "SHOP-1", "target": "shop"}

READS = (
    "status",
    "requests",
    "requests?state=all",
    "grants",
    "grants?live=true",
    "grants?unreviewed=true",
    "held-cells",
    "held-cells?state=all",
    "approver-keys",
    "sessions",
    "profiles",
    "entries",
    "entries?newest_first=true",
    "cells",
    "refusals",
    "findings",
    "checkpoint",
    "openapi.yaml",
)

# What each does to what is erin's, in each of its states: the answer's status. erin is the engineer who asks; `otto`
# is another one. 404: no such thing; 409: not in its present state; 403: not by this person.
#                                    nobody  erin  otto  ana   aude  adam  nina
TABLE = """
ask             for debugging         403    201   201   403   403   403   403
ask             for emergencies       403    201   201   403   403   403   403
ask             for recovery          403    403   403   403   403   201   403
approve         pending request       403    403   403   200   403   403   403
approve         endorsed request      403    403   403   409   403   403   403
approve         answered request      403    409   409   409   409   409   409
approve         no request            403    404   404   404   404   404   404
deny            pending request       403    403   403   200   403   403   403
deny            endorsed request      403    403   403   200   403   403   403
deny            answered request      403    409   409   409   409   409   409
deny            no request            403    404   404   404   404   404   404
withdraw        pending request       403    200   403   403   403   403   403
withdraw        endorsed request      403    200   403   403   403   403   403
withdraw        answered request      403    409   409   409   409   409   409
withdraw        no request            403    404   404   404   404   404   404
extend          live grant            403    201   403   403   403   403   403
extend          coming grant          403    409   409   409   409   409   409
extend          ended grant           403    409   409   409   409   409   409
extend          live glass            403    201   403   403   403   403   403
extend          no grant              403    404   404   404   404   404   404
take-over       live grant            403    409   201   403   403   403   403
take-over       coming grant          403    409   409   403   403   403   403
take-over       ended grant           403    409   409   403   403   403   403
take-over       no grant              403    404   404   403   403   403   403
revoke          live grant            403    200   403   200   403   200   403
revoke          coming grant          403    200   403   200   403   200   403
revoke          ended grant           403    409   403   409   403   409   403
revoke          live glass            403    200   403   200   403   200   403
revoke          no grant              403    404   404   404   404   404   404
review          live grant            403    409   409   409   409   409   409
review          ended grant           403    409   409   409   409   409   409
review          live glass            403    403   403   409   409   409   403
review          ended glass           403    403   403   200   200   200   403
review          reviewed glass        403    403   403   409   409   409   403
review          no grant              403    404   404   404   404   404   404
break-glass     for debugging         403    403   403   403   403   403   403
break-glass     for emergencies       403    201   201   403   403   403   403
break-glass     for recovery          403    403   403   403   403   403   403
approve-cell    waiting cell          403    403   403   200   403   403   403
approve-cell    answered cell         403    409   409   409   409   409   409
approve-cell    ungranted cell        403    403   403   409   403   403   403
approve-cell    no cell               403    404   404   404   404   404   404
deny-cell       waiting cell          403    403   403   200   403   403   403
deny-cell       answered cell         403    409   409   409   409   409   409
deny-cell       ungranted cell        403    403   403   200   403   403   403
deny-cell       no cell               403    404   404   404   404   404   404
revoke-everyone live grant            403    403   403   200   403   200   403
"""
PEOPLE = (ANONYMOUS, ENGINEER, OTHER, APPROVER, AUDITOR, ADMIN, ROLELESS)
ROWS = [line.split() for line in TABLE.strip().splitlines()]
CASES = [
    pytest.param(name, act, " ".join(state), int(status), id=f"{name or 'nobody'} {act} {' '.join(state)}")
    for act, *row in ROWS
    for state, statuses in [(row[:-7], row[-7:])]
    for name, status in zip(PEOPLE, statuses, strict=True)
]
WANTED = {"for debugging": "production-debug", "for emergencies": "emergency", "for recovery": "recovery"}
UNKNOWN = {"no request": "r-000000000000", "no grant": "g-000000000000", "no cell": "h-000000000000"}


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("name", EVERYBODY)
def test_everybody_who_is_known_may_read_what_is_theirs(person: People, name: str | None, path: str) -> None:
    assert person(name).ask("GET", path).status_code == (403 if name is None else 200)


def in_state(person: People, state: str) -> str:
    """Return the id of a request or grant of erin's in this state, made by the API itself."""
    erin, ana = person(ENGINEER), person(APPROVER)
    if state in UNKNOWN:
        return UNKNOWN[state]
    kind, what = state.split()
    if what == "cell":
        asked = erin.post("requests", **{**ASKED, "profile": "each-cell"})["id"]
        grant = ana.post(f"requests/{asked}/approve")["id"]
        cell = hold_cell(erin.server, grant)
        if kind == "answered":
            ana.post(f"held-cells/{cell}/deny", reason="not now")
        if kind != "waiting":
            ana.post(f"grants/{grant}/revoke", reason="it is over")
        return cell
    if what == "glass":
        glass: str = erin.post("break-glass", **{**ASKED, "profile": "emergency"})["id"]
        if kind != "live":
            erin.post(f"grants/{glass}/revoke", reason="it is over")
        if kind == "reviewed":
            person(AUDITOR).post(f"grants/{glass}/review", justified=True, comment="the shop was down")
        return glass
    starts = {"starts": (datetime.now(UTC) + timedelta(hours=1)).isoformat()} if kind == "coming" else {}
    profile = "two-yeses" if kind == "endorsed" else "production-debug"
    request: str = erin.post("requests", **{**ASKED, "profile": profile}, **starts)["id"]
    if kind == "pending":
        return request
    answer: str = ana.post(f"requests/{request}/approve")["id"]
    if kind == "ended":
        ana.post(f"grants/{answer}/revoke", reason="it is over")
    return request if what == "request" else answer


@pytest.mark.parametrize(("name", "act", "state", "status"), CASES)
def test_each_role_does_what_its_rules_allow(person: People, name: str | None, act: str, state: str, status: int) -> None:
    who = person(name)
    reason = {"reason": "there is a reason"}
    if act in ("ask", "break-glass"):
        answer = who.ask("POST", "requests" if act == "ask" else act, {**ASKED, "profile": WANTED[state]})
    else:
        wanted = in_state(person, state)
        path, body = {
            "approve": (f"requests/{wanted}/approve", {}),
            "deny": (f"requests/{wanted}/deny", reason),
            "withdraw": (f"requests/{wanted}/withdraw", {}),
            "extend": (f"grants/{wanted}/extend", reason),
            "take-over": ("requests", {**ASKED, "takes_over": wanted}),
            "revoke": (f"grants/{wanted}/revoke", reason),
            "review": (f"grants/{wanted}/review", {"justified": False, "comment": "nothing was down"}),
            "approve-cell": (f"held-cells/{wanted}/approve", {}),
            "deny-cell": (f"held-cells/{wanted}/deny", reason),
            "revoke-everyone": ("revoke-everyone", reason),
        }[act]
        answer = who.ask("POST", path, body)
    assert answer.status_code == status, answer.text


def test_the_table_covers_every_described_operation() -> None:
    tried = {path.partition("?")[0] for path in READS} | {"requests", "cells/{entry}"}
    where = {"approve": "requests/{request}", "deny": "requests/{request}", "withdraw": "requests/{request}"}
    where |= dict.fromkeys(("extend", "revoke", "review"), "grants/{grant}")
    tried |= {"held-cells/{hold}/approve", "held-cells/{hold}/deny"}
    for act in {row[0] for row in ROWS} - {"ask", "take-over", "approve-cell", "deny-cell"}:
        tried.add(f"{where[act]}/{act}" if act in where else act)
    tried |= {"sessions/{session}/end"}  # test_web_watch.py
    tried |= {"held-cells/{hold}/entry"}  # test_web_held.py
    tried |= {"requests/{request}/entry", "approver-keys/withdraw"}  # test_web_signed.py
    tried |= {"requests/{request}/challenge", "passkeys", "passkeys/creation", "passkeys/offers"}  # test_web_passkeys.py
    tried |= {"held-cells/{hold}/challenge"}  # test_web_passkeys.py
    tried |= {"acknowledgements", "feedback", "stats"}  # test_web_words.py
    tried |= {"alerts", "alerts/test"}  # test_web_alerts.py
    assert {f"/{path}" for path in tried} == set(description()["paths"])


def test_every_route_and_method_is_described_and_every_described_one_is_served() -> None:
    examples = {"request": "r-0123456789ab", "grant": "g-0123456789ab", "entry": "7", "session": "s-0123456789ab"}
    examples |= {"hold": "h-0123456789ab"}
    described = {
        (method.upper(), re.sub(r"\{(\w+)\}", lambda found: examples[found[1]], path[1:]))
        for path, item in description()["paths"].items()
        for method in item
        if method in ("get", "post", "put", "patch", "delete")
    }
    paths = {path for _, path in described}
    served = set()
    for pattern, handler in ROUTES[:-1]:
        matching = [path for path in paths if re.fullmatch(pattern, path)]
        assert len(matching) == 1, f"{pattern} is described {len(matching)} times"
        for method in ("get", "post", "put", "patch", "delete"):
            if method in vars(handler):
                served.add((method.upper(), matching[0]))
    assert served == described


def test_a_stranger_is_told_to_log_in_and_nothing_else(person: People) -> None:
    answer = person(None).ask("GET", "entries")
    assert answer.status_code == 403
    assert answer.json()["code"] == "unauthenticated"
    assert "token" in answer.json()["advice"]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_methods_that_do_not_exist_change_nothing_and_those_that_do_are_named(person: People, method: str) -> None:
    for path, methods in {"requests": "GET, POST", "grants": "GET", "break-glass": "POST", "status": "GET"}.items():
        answer = person("adam").ask(method, path)
        assert (answer.status_code, answer.headers["Allow"]) == (405, methods)


def test_an_unknown_address_is_a_problem_not_a_page(person: People) -> None:
    for path in (
        "",
        "nothing",
        "requests/r-0123456789ab",
        "requests/x/approve",
        "grants/../status/x",
        "cells/-1",
    ):
        answer = person("erin").ask("GET", path)
        assert answer.status_code == 404
        assert answer.json()["code"] == "not_found"


def logged_in(house: AuditedServer, name: str) -> requests.Session:
    """A browser's session: cookies, no token in headers."""
    browser = requests.Session()
    answer = browser.get(f"{house.url}/audit/panel", params={"token": TOKENS[name]}, timeout=60)
    assert answer.status_code == 200
    assert "_xsrf" in browser.cookies
    return browser


@pytest.mark.parametrize("sent", ["", "forged", "anothers"])
def test_a_cookie_alone_asks_for_nothing(house: AuditedServer, sent: str) -> None:
    browser = logged_in(house, "erin")
    headers = {"X-XSRFToken": str(logged_in(house, "otto").cookies["_xsrf"]) if sent == "anothers" else sent} if sent else {}
    before = Person(house, "erin").get("requests?state=all")
    answer = browser.post(f"{house.url}/audit/api/v1/requests", json=ASKED, headers=headers, timeout=60)
    assert answer.status_code == 403
    assert Person(house, "erin").get("requests?state=all") == before


def test_a_cookie_with_its_xsrf_token_asks(house: AuditedServer) -> None:
    browser = logged_in(house, "erin")
    headers = {"X-XSRFToken": str(browser.cookies["_xsrf"])}
    answer = browser.post(f"{house.url}/audit/api/v1/requests", json=ASKED, headers=headers, timeout=60)
    assert answer.status_code == 201, answer.text
    assert answer.json()["principal"] == "erin"


def test_a_page_of_another_origin_reads_nothing(house: AuditedServer) -> None:
    browser = logged_in(house, "ana")
    for origin in ("https://elsewhere.example", "null"):
        answer = browser.get(f"{house.url}/audit/api/v1/entries", headers={"Origin": origin}, timeout=60)
        assert "Access-Control-Allow-Origin" not in answer.headers
        if origin != "null":
            assert answer.status_code == 404


def test_answers_are_kept_out_of_caches(person: People) -> None:
    answer = person("ana").ask("GET", "entries")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_the_roles_that_people_hold_are_the_ones_configured(person: People) -> None:
    for name, role in ROLES.items():
        me: dict[str, Any] = person(name).get("status")["me"]
        assert me == {
            "name": name,
            "vouched_by": "UserTokensIdentityProvider",
            "roles": [role] if role else [],
        }
