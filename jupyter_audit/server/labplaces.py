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
from jupyter_audit.server.refusals import RefusedError, put_down_refused

SETTING = re.compile(rb"((@[\w.-]+/)?(?!\.\.?:)[\w.-]+:[\w.-]+)?", re.ASCII)
"""What JupyterLab calls a plugin's settings, `@scope/package:plugin`, or nothing, which is all of them."""

BUNDLE = re.compile(rb"[\w@/.-]{0,100}", re.ASCII)
"""A part of the page whose licenses are asked for, as JupyterLab names it."""

LONGEST_SETTINGS = 64 * 1024
"""Bytes of the settings of one plugin. JSON5 is read at some 60 KB a second."""

LONGEST_WORKSPACE = 1024 * 1024
"""Bytes of a workspace, which lies on the same disk as the ledger."""

MOST_WORKSPACES = 100
"""Workspaces of one person. JupyterLab makes one by itself for each further tab on the same one."""

MOST_OF_WORKSPACES = 2 * 1024 * 1024
"""Bytes of all workspaces of one person. To list them JupyterLab reads all, at 2 to 7 MB a second, and serves nobody then."""

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
    """
    Have a handler of the class `name`, of an authenticated request, serve what is the person's own, where it serves such.

    Raises `RefusedError`, which is put down, where there is no room for a further workspace of theirs.
    """
    if name == "jupyterlab_server.settings_handler.SettingsHandler":
        handler.settings_dir = str(_own(handler, handler.settings_dir))
    elif name == "jupyterlab_server.workspaces_handler.WorkspacesHandler":
        shared = handler.manager
        own = _own(handler, shared.workspaces_dir)
        handler.manager = type(shared)(str(own))
        asked = handler.path_kwargs.get("space_name") or ""
        if handler.request.method == "PUT" and (full := _why_full(own, asked, handler.request.body)):
            put_down_refused(handler, door="guard", target=name, cause=full.cause)
            raise full


def _why_full(folder: Path, name: str, body: bytes) -> RefusedError | None:
    """Return why the workspace `name` has no room in a person's folder beside their others, or None."""
    # Nobody comes here without it; who only verifies need not have it installed.
    from jupyterlab_server.workspaces_handler import WORKSPACE_EXTENSION, slugify

    sizes = {path.name: path.stat().st_size for path in folder.glob("*")}
    before = sizes.pop(slugify(name) + WORKSPACE_EXTENSION, None)
    too_many = before is None and len(sizes) >= MOST_WORKSPACES
    too_large = len(body) > (before or 0) and len(body) + sum(sizes.values()) > MOST_OF_WORKSPACES
    if not too_many and not too_large:
        return None
    return RefusedError(
        "too_many",
        f"This workspace is not kept: you have {len(sizes)} others, of {sum(sizes.values()) // 1024} KiB. One person may "
        f"have {MOST_WORKSPACES}, of {MOST_OF_WORKSPACES // 1024} KiB together. Delete some: in JupyterLab, File, Workspaces.",
    )


def _own(handler: Any, folder: str | Path) -> Path:
    principal = principal_of(handler)
    name = f"{principal.vouched_by}\n{principal.name}".encode("utf-8", "surrogatepass")
    return Path(folder) / hashlib.sha256(name).hexdigest()[:32]
