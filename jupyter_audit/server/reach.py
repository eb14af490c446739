"""
The paths that requests name, held against the notebook folder before Jupyter does anything with them (P3).

Jupyter's own checks come later and answer each in its way, a hidden file with 400, one outside with 404, a folder for a
kernel with nothing at all; none of them puts the attempt down.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jupyter_core.paths import is_hidden
from jupyter_server.utils import ApiPath, to_os_path
from tornado import web

from jupyter_audit.gate.inside import stays_inside
from jupyter_audit.server.refusals import RefusedError


def check_reach(path: object, root: str, *, hidden: bool) -> None:
    """
    Raise `RefusedError` unless an API path lies in the folder `root`, with every link on it, and, unless `hidden`
    is allowed, is not hidden there. Raises `tornado.web.HTTPError` 400 for what cannot be a path. Looks at the disk.
    """
    if not isinstance(path, str):
        raise web.HTTPError(400, "A path must be a string.")
    os_path = to_os_path(ApiPath(path), root)
    try:
        inside = stays_inside(os_path, root)
        out_of_sight = inside and not hidden and is_hidden(os_path, root)
    except ValueError as error:
        raise web.HTTPError(400, "A path must be text that a file system takes.") from error
    if not inside:
        raise RefusedError(
            "outside", f"{path!r} leads out of the notebook folder. On an audited server nothing is written or started there."
        )
    if out_of_sight:
        raise RefusedError(
            "hidden",
            f"{path!r} is hidden, as what runs by itself later is. Choose a name without a dot in front, or ask an admin "
            "for c.ContentsManager.allow_hidden.",
        )


def paths_changed(address: str | None, body: Any) -> Iterator[object]:
    """Yield each path that a request to change contents names: in its address, and in its JSON body."""
    folder = address or ""
    yield folder
    if isinstance(body, dict):
        yield from (body[key] for key in ("path", "copy_from") if body.get(key) is not None)
        if isinstance(extension := body.get("ext"), str):
            yield f"{folder}/untitled{extension}"


def paths_started_in(body: Any) -> Iterator[object]:
    """Yield each path that a request for a kernel or a session gives a kernel to start in, the older form of it included."""
    if isinstance(body, dict):
        notebook = body.get("notebook")
        for named in (body.get("path"), *((notebook.get("path"), notebook.get("name")) if isinstance(notebook, dict) else ())):
            if named is not None:
                yield named
