"""People who share one audited server, and the description that every answer to them is held against."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import requests
import yaml
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from support.servers import AuditedServer, audited_server, make_home

from jupyter_audit.clock import SystemClock, format_time
from jupyter_audit.ledger import open_ledger
from jupyter_audit.model import Actor, Content
from jupyter_audit.record import kinds
from jupyter_audit.server.api import OPENAPI

ROLES = {
    "erin": "engineer",
    "otto": "engineer",
    "ana": "approver",
    "abe": "approver",
    "amy": "approver",
    "aude": "auditor",
    "adam": "admin",
    "nina": "",
}
PROFILES: dict[str, dict[str, Any]] = {
    "production-debug": {},
    "recovery": {"recovery": True},
    "two-yeses": {"approvals": 2, "approvers": ["ana", "abe"]},
    "each-cell": {"cell_approval": "each"},
    "emergency": {"break_glass": True, "weekly_break_glass": 1000, "targets": ["shop", "stock"]},
}
TOKENS = {name: f"the-token-of-{name}" for name in ROLES}


@cache
def description() -> dict[str, Any]:
    """The OpenAPI document, parsed."""
    found: dict[str, Any] = yaml.safe_load(OPENAPI.read_text(encoding="utf-8"))
    return found


def operation_of(method: str, path: str) -> dict[str, Any] | None:
    """Return the described operation that a path below the API belongs to."""
    for template, item in description()["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), "/" + path):
            found: dict[str, Any] | None = item.get(method.lower())
            return found
    return None


def check_described(method: str, path: str, answer: requests.Response) -> None:
    """Fail unless an answer is what the document says of its operation."""
    operation = operation_of(method, path)
    described: dict[str, Any] = (operation or {}).get("responses", {})
    problem: dict[str, Any] = {"$ref": "#/components/responses/Problem"}
    said: dict[str, Any] = described.get(str(answer.status_code)) or described.get("default") or problem
    if "$ref" in said:
        said = description()["components"]["responses"][said["$ref"].rpartition("/")[2]]
    media_type = answer.headers["Content-Type"].partition(";")[0]
    assert media_type in said["content"], f"{method} {path}: {answer.status_code} {media_type}"
    value = answer.json() if media_type.endswith("json") else answer.text
    schema: dict[str, Any] = {**said["content"][media_type]["schema"], "components": description()["components"]}
    Draft202012Validator(schema).validate(value)


@dataclass(frozen=True)
class Person:
    """Somebody who asks the REST API, with a token (or without: nobody knows who they are)."""

    server: AuditedServer
    name: str | None

    def ask(self, method: str, path: str, body: object = None, *, raw: bytes | None = None) -> requests.Response:
        """Return the answer of the API, which must be as described."""
        headers = {"Authorization": f"token {TOKENS[self.name]}"} if self.name else {}
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        url = f"{self.server.url}/audit/api/v1/{path}"
        answer = requests.request(method, url, data=data, headers=headers, timeout=60)
        check_described(method, path.partition("?")[0], answer)
        return answer

    def get(self, path: str) -> Any:
        """Return what a good GET answers."""
        answer = self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, **body: Any) -> Any:
        """Return what a good POST answers."""
        answer = self.ask("POST", path, body)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    def request_access(self, reason: str = "orders are charged twice", ticket: str = "SHOP-1") -> str:
        """Ask for access; return the request's id."""
        made: str = self.post("requests", profile="production-debug", reason=reason, ticket=ticket)["id"]
        return made


def hold_cell(server: AuditedServer, grant: str, code: str = "print(1)") -> str:
    """Have a cell of erin's wait for approval under her grant, as another server of the same home would; return its id."""
    hold = f"h-{secrets.token_hex(6)}"
    clock = SystemClock()
    kind = kinds.CellHeld(
        hold=hold, kernel_id="k", msg_id="m", channel="shell", cell="", silent=False, lines=1, profile="each-cell",
        lapses=format_time(clock.now() + timedelta(minutes=5)), on_behalf_of="", signed_approvals=False,
    )  # fmt: skip
    content = {"message": Content(json.dumps({"code": code}).encode(), "application/json")}
    ledger = open_ledger(server.home, clock=clock)
    try:
        actor = Actor("erin", "UserTokensIdentityProvider")
        ledger.append([kinds.draft(kind, actor=actor, grant=grant, session="s-0123456789ab", contents=content)])
    finally:
        ledger.close()
    return hold


@contextmanager
def shared_server(folder: Path, *more: str) -> Iterator[AuditedServer]:
    """A server with JupyterLab under a base URL of its own, that tells people apart by their tokens."""
    make_home(folder)
    roles: dict[str, list[str]] = {}
    for name, role in ROLES.items():
        if role:
            roles.setdefault(role, []).append(name)
    digests = {name: hashlib.sha256(token.encode()).hexdigest() for name, token in TOKENS.items()}
    config = folder / "config.py"
    config.write_text(
        "c.ServerApp.identity_provider_class = 'jupyter_audit.server.identity.UserTokensIdentityProvider'\n"
        f"c.UserTokensIdentityProvider.digests = {digests!r}\n"
        f"c.JupyterAudit.roles = {roles!r}\n"
        f"c.JupyterAudit.profiles = {PROFILES!r}\n"
        # One server for all these tests, and each of its people asks more often than any person would.
        "c.JupyterAudit.pending_requests = 10_000\n"
        "c.JupyterAudit.requests_per_minute = 1_000_000\n"
    )
    options = (f"--config={config}", "--ServerApp.base_url=/u/x/", *more)
    with audited_server(folder, *options, face="lab", solo=False) as running:
        yield running


def close_everything(house: AuditedServer) -> None:
    """Take back what other tests on the same server left: requests that wait, grants in force."""
    for name in ("erin", "otto"):
        person = Person(house, name)
        for request in person.get("requests?limit=500")["requests"]:
            person.post(f"requests/{request['id']}/withdraw")
        for grant in person.get("grants?live=true")["grants"]:
            person.post(f"grants/{grant['id']}/revoke", reason="the next test begins")
