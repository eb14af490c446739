"""
What JupyterLab's own handlers take from a client as it stands, and what is made of that here (P2, P3).

Settings and workspaces are each person's own. JupyterLab keeps one set of both for everybody on a server; settings hold keyboard
shortcuts, and a shortcut can write a cell and run it: whoever may set them would have code run under the grant of whoever
presses a key. And it joins a setting's name to its folders as the client says it: with `/` or `..` in that, anybody could
read each JSON file that the server's account can, tokens and kernels' keys among them, and write beside it.

Licenses are looked up by a regular expression of the client's, and settings read by a slow parser: either would keep the server
busy for as long as somebody likes, so that nobody is served and no grant ends.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tornado.httputil import HTTPServerRequest

from jupyter_audit.server.people import principal_of
from jupyter_audit.server.refusals import RefusedError

SETTING = re.compile(rb"((@[\w.-]+/)?(?!\.\.?:)[\w.-]+:[\w.-]+)?", re.ASCII)
"""What JupyterLab calls a plugin's settings, `@scope/package:plugin`, or nothing, which is all of them."""

BUNDLE = re.compile(rb"[\w@/.-]{0,100}", re.ASCII)
"""A part of the page whose licenses are asked for, as JupyterLab names it."""

LONGEST_SETTINGS = 64 * 1024
"""Bytes of the settings of one plugin. JSON5 is read at some 60 KB a second."""

LONGEST_WORKSPACE = 1024 * 1024
"""Bytes of a workspace, which lies on the same disk as the ledger."""

Arguments = Mapping[str, bytes | None]
"""What a handler's route found in the address."""


def _look_at_settings(request: HTTPServerRequest, found: Arguments) -> RefusedError | None:
    if not SETTING.fullmatch(found.get("schema_name") or b""):
        return RefusedError("outside", "This is the name of no settings of JupyterLab's, and could lead to other files.")
    return _too_large(request, LONGEST_SETTINGS)


def _look_at_workspace(request: HTTPServerRequest, found: Arguments) -> RefusedError | None:
    return _too_large(request, LONGEST_WORKSPACE)


def _too_large(request: HTTPServerRequest, most: int) -> RefusedError | None:
    length = request.headers.get("Content-Length", "")
    if request.method != "PUT" or (length.isdecimal() and int(length) <= most):
        return None
    return RefusedError("too_large", f"Settings or a workspace of this kind may have {most // 1024} KiB, and must say how many.")


def _look_at_licenses(request: HTTPServerRequest, found: Arguments) -> RefusedError | None:
    # Tornado reads the body of any request for arguments, too.
    has_body = "Content-Length" in request.headers or "Transfer-Encoding" in request.headers
    if has_body or not all(BUNDLE.fullmatch(name) for name in request.query_arguments.get("bundles", [])):
        return RefusedError("pattern", "Name the part of the page whose licenses are wanted; patterns are not taken here.")
    return None


LOOKS: Mapping[str, Callable[[HTTPServerRequest, Arguments], RefusedError | None]] = {
    "jupyterlab_server.licenses_handler.LicensesHandler": _look_at_licenses,
    "jupyterlab_server.settings_handler.SettingsHandler": _look_at_settings,
    "jupyterlab_server.workspaces_handler.WorkspacesHandler": _look_at_workspace,
}
"""Handler class → what looks at a request before it is served."""


def why_not(name: str, request: HTTPServerRequest, found: Arguments) -> RefusedError | None:
    """Return why a request must not reach the handler class `name`, or None; `found` are its route's named groups."""
    return LOOKS[name](request, found) if name in LOOKS else None


def keep_to_own(name: str, handler: Any) -> None:
    """Have a handler of the class `name`, of an authenticated request, serve what is the person's own, where it serves such."""
    if name == "jupyterlab_server.settings_handler.SettingsHandler":
        handler.settings_dir = str(_own(handler, handler.settings_dir))
    elif name == "jupyterlab_server.workspaces_handler.WorkspacesHandler":
        shared = handler.manager
        handler.manager = type(shared)(str(_own(handler, shared.workspaces_dir)))


def _own(handler: Any, folder: str | Path) -> Path:
    principal = principal_of(handler)
    name = f"{principal.vouched_by}\n{principal.name}".encode("utf-8", "surrogatepass")
    return Path(folder) / hashlib.sha256(name).hexdigest()[:32]
