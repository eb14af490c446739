"""Who may do what over the REST API: every address, every role."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import requests
from support.servers import AuditedServer
from web_house import ROLES, TOKENS, Person, description

from jupyter_audit.server.api import ROUTES

People = Callable[[str | None], Person]

ANONYMOUS, ENGINEER, APPROVER, AUDITOR, ADMIN, ROLELESS = None, "erin", "ana", "aude", "adam", "nina"
EVERYBODY = (ANONYMOUS, ENGINEER, APPROVER, AUDITOR, ADMIN, ROLELESS)

READS = (
    "status",
    "requests",
    "requests?state=all",
    "grants",
    "grants?live=true",
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

ACTS: dict[str, dict[str | None, int]] = {
    "ask": {ANONYMOUS: 403, ENGINEER: 201, APPROVER: 403, AUDITOR: 403, ADMIN: 403, ROLELESS: 403},
    "ask for recovery": {
        ANONYMOUS: 403,
        ENGINEER: 403,
        APPROVER: 403,
        AUDITOR: 403,
        ADMIN: 201,
        ROLELESS: 403,
    },
    "approve": {ANONYMOUS: 403, ENGINEER: 403, APPROVER: 200, AUDITOR: 403, ADMIN: 403, ROLELESS: 403},
    "deny": {ANONYMOUS: 403, ENGINEER: 403, APPROVER: 200, AUDITOR: 403, ADMIN: 403, ROLELESS: 403},
    "withdraw": {ANONYMOUS: 403, ENGINEER: 200, APPROVER: 403, AUDITOR: 403, ADMIN: 403, ROLELESS: 403},
    "revoke": {ANONYMOUS: 403, ENGINEER: 200, APPROVER: 200, AUDITOR: 403, ADMIN: 200, ROLELESS: 403},
}
"""What each does to what is erin's: the answer's status. erin is the engineer who asks."""


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("name", EVERYBODY)
def test_everybody_who_is_known_may_read_what_is_theirs(person: People, name: str | None, path: str) -> None:
    assert person(name).ask("GET", path).status_code == (403 if name is None else 200)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("name", EVERYBODY)
def test_each_role_does_what_its_rules_allow(person: People, name: str | None, act: str) -> None:
    who, erin, ana = person(name), person(ENGINEER), person(APPROVER)
    asked = {"profile": "production-debug", "reason": "orders are charged twice", "ticket": "SHOP-1"}
    if act.startswith("ask"):
        profile = "recovery" if "recovery" in act else "production-debug"
        answer = who.ask("POST", "requests", {**asked, "profile": profile})
    elif act == "revoke":
        grant = ana.post(f"requests/{erin.request_access()}/approve")["id"]
        answer = who.ask("POST", f"grants/{grant}/revoke", {"reason": "it is done"})
    else:
        body = {"reason": "not now"} if act == "deny" else {}
        answer = who.ask("POST", f"requests/{erin.request_access()}/{act}", body)
    assert answer.status_code == ACTS[act][name], answer.text


def test_the_table_covers_every_described_operation() -> None:
    tried = {path.partition("?")[0] for path in READS} | {"requests", "cells/{entry}"}
    tried |= {f"requests/{{request}}/{act}" for act in ("approve", "deny", "withdraw")} | {"grants/{grant}/revoke"}
    tried |= {"sessions/{session}/end"}  # test_web_watch.py
    assert {f"/{path}" for path in tried} == set(description()["paths"])


def test_every_route_and_method_is_described_and_every_described_one_is_served() -> None:
    examples = {"request": "r-0123456789ab", "grant": "g-0123456789ab", "entry": "7", "session": "s-0123456789ab"}
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
def test_methods_that_do_not_exist_change_nothing(person: People, method: str) -> None:
    for path in ("requests", "grants", "entries", "status"):
        assert person("adam").ask(method, path).status_code in (403, 405)


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


ASKED = {"profile": "production-debug", "reason": "orders are charged twice", "ticket": "SHOP-1"}


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
