"""
Which notebooks a profile is for: patterns of paths, and whether a path is covered. Pure.

A path is what a client says that it edits, below the server's root: its word. There is one way to spell a path, and
whatever is spelled in another is covered by nothing. docs/access.md tells the rules.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from typing import Any

from jupyter_audit.access.profiles import Profile

LONGEST_PATH = 1000
"""Characters of a path that is covered; a ledger's entry holds as many."""

RTC = "RTC:"
"""What jupyter-collaboration puts before the path of a document that it shares: the same file, below the same root."""

ANY = "**"


def spelled(path: Any) -> str:
    """
    Return a client's path as patterns are matched with it; empty for what is no path, or not spelled in the one way.

    The one way: relative, `/` between names, no `.` and `..`, no drive but jupyter-collaboration's, nothing invisible.
    """
    if not isinstance(path, str) or len(path) > LONGEST_PATH:
        return ""
    told = path.removeprefix(RTC)
    names = told.split("/")
    # JupyterLab takes what stands before a colon in the first name for a drive: files that are kept elsewhere.
    if ":" in names[0] or "\\" in told or not told.isprintable() or any(name in ("", ".", "..") for name in names):
        return ""
    return told


def covers(patterns: Iterable[str], path: str) -> bool:
    """Say whether one of the patterns is for a path, which was `spelled`. Upper and lower case are different."""
    names = path.split("/") if path else []
    return bool(names) and any(_matches(pattern.split("/"), names) for pattern in patterns)


def outside(profiles: Mapping[str, Profile], paths: Iterable[str]) -> frozenset[str]:
    """
    Return the profiles that are for certain notebooks, and not for all of these.

    `paths` is every name of what a kernel is used for, each `spelled`; without any, no such profile is for it.
    """
    named = tuple(paths)
    return frozenset(
        name
        for name, profile in profiles.items()
        if profile.notebooks and not (named and all(covers(profile.notebooks, path) for path in named))
    )


def _matches(pattern: list[str], names: list[str]) -> bool:
    """Follow every way through the pattern at once, so that no pattern takes long, however many `**` it has."""
    places = _onwards(pattern, {0})
    for name in names:
        there = set()
        for place in places:
            if place == len(pattern):
                continue
            if pattern[place] == ANY:
                there.add(place)
            elif fnmatch.fnmatchcase(name, pattern[place]):
                there.add(place + 1)
        places = _onwards(pattern, there)
    return len(pattern) in places


def _onwards(pattern: list[str], places: set[int]) -> set[int]:
    """Return the places with those that are reached by letting `**` stand for nothing."""
    reached = set(places)
    for place in range(len(pattern)):
        if place in reached and pattern[place] == ANY:
            reached.add(place + 1)
    return reached
