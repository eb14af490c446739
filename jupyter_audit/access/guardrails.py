"""
Which guardrails there are, and which of them a profile names. Files are found and digested here, and judged elsewhere.

A guardrail is a file of one Sigma rule, called by the file's name without `.yml`: the product's own, and the admin's in
the folder `guardrail_rules`. Its text is read once, at the start: what is in the policy's digest is what is asked.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from jupyter_audit.configfile import check_owner_and_modes
from jupyter_audit.errors import ConfigError

BUILT_IN = Path(__file__).parents[1] / "guardrails"

UNREADABLE = "unreadable"
"""Stands where guardrails are named for code that could not be read, so that no rule could judge it."""

LARGEST_RULE = 256 * 1024

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")


class Mode(StrEnum):
    """What happens to code that breaks a guardrail."""

    REFUSE = "refuse"
    WARN = "warn"


@dataclass(frozen=True, slots=True)
class RuleFile:
    """One guardrail as it is on disk. `digest` is the SHA-256 of its text, in hex."""

    name: str
    path: Path
    text: str

    @property
    def digest(self) -> str:
        """The SHA-256 of the text, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Guardrail:
    """One guardrail of one profile. `digest` is that of its rule's text; `unreadable` has none."""

    name: str
    mode: Mode
    digest: str = ""


def check_named(value: Any) -> str:
    """Return what a profile's `guardrails` must be, or nothing if `value` is it."""
    wanted = "a list of guardrails, or a dictionary of guardrails and 'refuse' or 'warn'"
    if isinstance(value, Mapping):
        good = all(_named(name) and mode in list(Mode) for name, mode in value.items())
    else:
        good = isinstance(value, (list, tuple)) and all(_named(name) for name in value)
    return "" if good else wanted


def parse_named(value: Mapping[str, str] | Sequence[str]) -> tuple[Guardrail, ...]:
    """Return the guardrails that a profile names, by name; what cannot be read is refused where nothing else is said."""
    given = dict(value) if isinstance(value, Mapping) else dict.fromkeys(value, Mode.REFUSE.value)
    if given:
        given.setdefault(UNREADABLE, Mode.REFUSE.value)
    return tuple(Guardrail(name, Mode(given[name])) for name in sorted(given))


def _named(name: object) -> bool:
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def find_rules(folder: str) -> dict[str, RuleFile]:
    """
    Return the guardrails there are, by name: the product's own, and those in `folder`, if one is named.

    Raises `ConfigError` for a folder or file that cannot be used, or that others can change.
    """
    found = {path.stem: _read(path) for path in sorted(BUILT_IN.glob("*.yml"))}
    if not folder:
        return found
    own = Path(folder).expanduser()
    setting = ("guardrail_rules",)
    if not own.is_absolute() or not own.is_dir():
        raise ConfigError(
            f"c.JupyterAudit.guardrail_rules must be the full path of a folder, got {folder!r}.",
            advice="Make the folder, and put a file NAME.yml for each guardrail into it (docs/guardrails.md).",
            setting=setting,
        )
    for path in sorted(own.glob("*.yml")):
        name = path.stem
        if _NAME.fullmatch(name) is None or name == UNREADABLE:
            raise ConfigError(f"{path}: a guardrail cannot be called {name!r}.", advice="Use a-z, 0-9, _ and -.", setting=setting)
        if name in found:
            raise ConfigError(f"{path}: there is a guardrail {name!r} already.", advice="Rename the file.", setting=setting)
        check_owner_and_modes(path)
        found[name] = _read(path)
    return found


def _read(path: Path) -> RuleFile:
    try:
        if path.stat().st_size > LARGEST_RULE:
            raise ConfigError(f"The guardrail {path} is larger than {LARGEST_RULE // 1024} KiB.", advice="Split it.")
        return RuleFile(path.stem, path, path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The guardrail {path} cannot be read: {error}.", advice="Mend it, or take it away.") from error


def with_digests(
    profile: str, named: Sequence[Guardrail], rules: Mapping[str, RuleFile]
) -> tuple[Guardrail, ...]:
    """Return the guardrails of a profile with the digests of their rules. Raises `ConfigError` for one that is not there."""
    made: list[Guardrail] = []
    for guardrail in named:
        if guardrail.name != UNREADABLE and guardrail.name not in rules:
            raise ConfigError(
                f"c.JupyterAudit.profiles[{profile!r}]['guardrails'] names {guardrail.name!r}, and there is no such guardrail.",
                advice=f"Known: {', '.join(sorted(rules))}. Your own stand in the folder c.JupyterAudit.guardrail_rules.",
                setting=("profiles", profile, "guardrails"),
            )
        digest = "" if guardrail.name == UNREADABLE else rules[guardrail.name].digest
        made.append(Guardrail(guardrail.name, guardrail.mode, digest))
    return tuple(made)
