"""
Puts down the requests that were refused at the server's door, by the guard or by the Authorizer (P2).

Only those of people whom the server knows: a stranger learns nothing and could fill the ledger, and stands in the
server's log. A page that goes on asking for what it may not read is put down once in a while, not each time.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from tornado import web
from tornado.httputil import HTTPServerRequest

from jupyter_audit.gate.drafts import clean
from jupyter_audit.record import kinds
from jupyter_audit.server.people import principal_of
from jupyter_audit.server.services import find_services

READING = frozenset({"GET", "HEAD", "OPTIONS"})
LONGEST_PATH = 300


def is_reading(request: HTTPServerRequest) -> bool:
    """Say whether a request only reads. A websocket opens with a GET, and is no reading."""
    return request.method in READING and request.headers.get("Upgrade", "").lower() != "websocket"


class RefusedError(web.HTTPError):
    """A request that is refused for `cause`, a short word that entries carry; the sentence is for the person."""

    def __init__(self, cause: str, sentence: str, status: int = 403) -> None:
        super().__init__(status, sentence)
        self.cause = cause


def put_down_refused(handler: Any, *, door: str, target: str, cause: str) -> None:
    """Put down that a handler's request was refused. `door` is who refused it, `target` what was out of reach."""
    services = find_services(handler.settings)
    if services is None or handler.current_user is None:
        return
    principal = principal_of(handler)
    request = handler.request
    if is_reading(request) and not services.refusal_notes.is_due(principal.name, door, target, cause):
        return
    path = clean(unquote(request.path), LONGEST_PATH)
    refused = kinds.RequestRefused(method=clean(str(request.method), 20), path=path, door=door, target=target[:200], cause=cause)
    services.put_down(refused, principal=principal)
