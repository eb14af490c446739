"""A running server as the command line sees it: where it is, and its REST API."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from jupyter_audit.errors import AuditError, ServerUnreachableError
from jupyter_audit.home import Home

TOKEN_VARIABLE = "JUPYTER_AUDIT_TOKEN"  # noqa: S105 (a variable's name)
TIMEOUT_S = 30.0


class RemoteError(AuditError):
    """The server said no; the sentence is its own."""

    code = "remote"
    exit_code = 6


@dataclass(frozen=True, slots=True)
class RemoteServer:
    """A server's URL (without a slash at the end) and the token to use it with."""

    url: str
    token: str

    def request(self, method: str, path: str, body: object = None) -> Any:
        """Return the JSON answer. Raises `ServerUnreachableError`, or `RemoteError` with the server's sentence."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"token {self.token}", "Content-Type": "application/json"}
        asked = urllib.request.Request(self.url + path, data=data, method=method, headers=headers)  # noqa: S310
        try:
            with urllib.request.urlopen(asked, timeout=TIMEOUT_S) as answer:  # noqa: S310 (the user named the server)
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise _refusal(error) from error
        except OSError as error:
            raise ServerUnreachableError(
                f"No server answers at {self.url}: {error}.",
                advice="Start one with `jupyter audit lab`, or name it with --server.",
            ) from error
        return json.loads(text) if text else None

    def api(self, method: str, path: str, body: object = None) -> Any:
        """Return the answer of the audit API."""
        return self.request(method, f"/audit/api/v1/{path}", body)


def _refusal(error: urllib.error.HTTPError) -> RemoteError:
    try:
        said = json.loads(error.read())
    except ValueError:
        said = {}
    detail = said.get("detail") or said.get("message") or f"HTTP {error.code} {error.reason}"
    advice = said.get("advice") or ""
    if error.code in (401, 403) and not said.get("detail"):
        advice = f"Set the server's token in ${TOKEN_VARIABLE}."
    return RemoteError(f"The server refused: {detail}", advice=advice)


def find_server(home: Home, url: str | None) -> RemoteServer:
    """
    Return the server named by `url`, or the one that runs on this home.

    Raises `ServerUnreachableError` if none is known.
    """
    if url:
        return RemoteServer(url.rstrip("/").partition("?")[0], os.environ.get(TOKEN_VARIABLE, ""))
    try:
        info = json.loads((home.run / "server.json").read_text())
        return RemoteServer(str(info["url"]).rstrip("/"), os.environ.get(TOKEN_VARIABLE) or str(info["token"]))
    except (OSError, ValueError, KeyError) as error:
        raise ServerUnreachableError(
            f"No server runs on the audit home {home.path}.",
            advice=f"Start one with `jupyter audit lab --home {home.path}`, or name it with --server URL.",
        ) from error
