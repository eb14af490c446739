"""A running server as the command line sees it: where it is, and its REST API (docs/rest-api.md)."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from jupyter_audit import errors
from jupyter_audit.errors import AuditError, ServerUnreachableError, UsageError
from jupyter_audit.home import Home

TOKEN_VARIABLE = "JUPYTER_AUDIT_TOKEN"  # noqa: S105 (a variable's name)
TIMEOUT_S = 60.0
ANSWERED_NO = 6

EXIT_CODES = {
    error.code: error.exit_code for error in vars(errors).values() if isinstance(error, type) and issubclass(error, AuditError)
}
"""The exit code for each code of an error that a server tells: the same as if it had happened here."""


class RemoteError(AuditError):
    """The server said no; the sentence is its own."""

    def __init__(self, message: str, *, advice: str, code: str) -> None:
        super().__init__(message, advice=advice)
        self.code = code
        self.exit_code = EXIT_CODES.get(code, ANSWERED_NO)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The token is for the server that was named, and for nobody that it points to."""

    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass(frozen=True, slots=True)
class RemoteServer:
    """A server's URL (without a slash at the end) and the token to use it with."""

    url: str
    token: str

    def request(self, method: str, path: str, body: object = None) -> Any:
        """
        Return the JSON answer, or None for an empty one.

        Raises `ServerUnreachableError`, or `RemoteError` with the server's own sentence.
        """
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"token {self.token}", "Content-Type": "application/json"}
        asked = urllib.request.Request(self.url + path, data=data, method=method, headers=headers)  # noqa: S310
        try:
            with urllib.request.build_opener(_NoRedirects).open(asked, timeout=TIMEOUT_S) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise _refusal(error) from error
        except (OSError, HTTPException) as error:
            raise ServerUnreachableError(
                f"No server answers at {self.url}: {error}.",
                advice="Start one with `jupyter audit lab`, or name it with --server.",
            ) from error
        try:
            return json.loads(text) if text else None
        except ValueError as error:
            raise _stranger(self.url) from error

    def api(self, method: str, path: str, body: object = None) -> Any:
        """Return the answer of the audit API."""
        answer = self.request(method, f"/audit/api/v1/{path}", body)
        if not isinstance(answer, dict):
            raise _stranger(self.url)
        return answer


def _stranger(url: str) -> ServerUnreachableError:
    return ServerUnreachableError(
        f"What answers at {url} is no audited server.", advice="Check the URL; it must include the base URL."
    )


def _refusal(error: urllib.error.HTTPError) -> AuditError:
    try:
        said = json.loads(error.read())
    except (ValueError, OSError, HTTPException):
        said = None
    if not isinstance(said, dict):
        said = {}
    code, advice = str(said.get("code") or ""), str(said.get("advice") or "")
    if error.code in (301, 302, 303, 307, 308, 401) or (error.code == 403 and code in ("", "unauthenticated")):
        advice = f"Set your token in ${TOKEN_VARIABLE}: an admin gives it; in solo mode the server prints it when it starts."
        code = "not_permitted"
    detail = said.get("detail") or said.get("message") or f"HTTP {error.code} {error.reason}"
    return RemoteError(f"The server refused: {detail}", advice=advice, code=code)


def find_server(home: Home, url: str | None) -> RemoteServer:
    """
    Return the server named by `url`, or the one that runs on this home.

    Raises `ServerUnreachableError` if none is known, `UsageError` if `url` is not one.
    """
    token = os.environ.get(TOKEN_VARIABLE, "")
    if url:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"{url} is not the URL of a server.", advice="Such as http://localhost:8888/")
        return RemoteServer(parts._replace(path=parts.path.rstrip("/"), query="", fragment="").geturl(), token)
    home.check()
    try:
        info = json.loads((home.run / "server.json").read_text(encoding="utf-8"))
        return RemoteServer(str(info["url"]).rstrip("/"), token or str(info["token"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ServerUnreachableError(
            f"No server runs on the audit home {home.path}.",
            advice=f"Start one with `jupyter audit lab --home {home.path}`, or name it with --server URL.",
        ) from error
