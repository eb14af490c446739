"""
Errors as the web tells them: problem details (RFC 9457), made in one place from the product's own errors.

Must never tell a stranger how the server failed inside: what is not one of our errors or an HTTP error is
"something failed", and the server's log says what.
"""

from __future__ import annotations

from http.client import responses
from typing import TypedDict

from tornado import web

from jupyter_audit.errors import AuditError

MEDIA_TYPE = "application/problem+json"

CODES = {
    400: "bad_request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    503: "unavailable",
}
"""The `code` of errors that are HTTP's own; an `AuditError` has its own."""


class Problem(TypedDict):
    """Problem details, with the next step (`advice`) and a stable word for programs (`code`)."""

    type: str
    title: str
    status: int
    detail: str
    advice: str
    code: str


def problem_of(error: BaseException | None, status: int, *, known_user: bool) -> Problem:
    """
    Return what a client is told of `error`.

    `status` is what the server would answer by itself; `known_user` says whether it knows who asks.
    """
    detail, advice, code = "", "", CODES.get(status, "error")
    if isinstance(error, AuditError):
        status, detail, advice, code = error.http_status, str(error), error.advice, error.code
    elif not known_user and status in (401, 403):
        code = "unauthenticated"
        detail = "This server does not know who is asking."
        advice = "Log in, or send the server's token in an Authorization header."
    elif isinstance(error, web.HTTPError) and error.log_message:
        detail = _said(error)
    elif status == 404:
        detail = "There is nothing at this address."
        advice = "docs/rest-api.md and openapi.yaml list what there is."
    elif status == 405:
        detail = "This address does not take that method."
        advice = "docs/rest-api.md and openapi.yaml list what there is."
    elif status >= 500:
        detail = "Something failed in the server."
        advice = "The server's log says what; an admin can read it."
    title = responses.get(status, "Error")
    return Problem(
        type="about:blank", title=title, status=status, detail=detail or f"{title}.", advice=advice, code=code
    )


def _said(error: web.HTTPError) -> str:
    try:
        # Tornado doubles the percent signs of a message that comes without arguments, so this undoes that.
        return str(error.log_message) % error.args
    except (TypeError, ValueError):
        # Whoever raised it gave arguments that do not fit; the sentence as it stands is better than none.
        return str(error.log_message)
