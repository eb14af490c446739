"""
Whether a path stays in a folder, looked at link by link (P3).

Where a path ends is not enough: a link to `/home/somebody/.ssh/../../../notebooks/file` ends inside, and whether it
resolves tells whether that folder is there. So a path that steps outside on its way is outside, wherever it ends.
"""

from __future__ import annotations

import os

MOST_LINKS = 40
"""Links on one path; Linux follows as many (path_resolution(7))."""


def stays_inside(path: str, root: str) -> bool:
    """Say whether `path`, which need not exist, lies in the folder `root`, with each link on it."""
    roots = (os.path.abspath(root), os.path.realpath(root))  # noqa: PTH100 (no link may be followed here)
    waiting = _below(os.path.abspath(path), roots)  # noqa: PTH100
    if waiting is None:
        return False
    reached: list[str] = []
    links = 0
    while waiting:
        part, *waiting = waiting
        if part == os.pardir:
            if not reached:
                return False
            reached.pop()
            continue
        where = os.path.join(roots[1], *reached, part)  # noqa: PTH118
        try:
            target = os.readlink(where)  # noqa: PTH115
        except OSError:
            reached.append(part)  # no link, or not there
            continue
        links += 1
        if links > MOST_LINKS:
            return False
        if os.path.isabs(target):  # noqa: PTH117
            below = _below(target, roots)
            if below is None:
                return False
            reached, waiting = [], [*below, *waiting]
        else:
            waiting = [*_parts(target), *waiting]
    return True


def _below(path: str, roots: tuple[str, ...]) -> list[str] | None:
    """Return the parts of `path` below one of the roots; None if it does not begin with any."""
    for root in roots:
        if path == root or path.startswith(root.rstrip(os.sep) + os.sep):
            return _parts(path[len(root) :])
    return None


def _parts(path: str) -> list[str]:
    return [part for part in path.split(os.sep) if part not in ("", os.curdir)]  # noqa: PTH206 (`..` stays as it is)
