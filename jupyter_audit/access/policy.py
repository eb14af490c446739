"""
Policy: what may be asked for, by whom, and who may say yes. Read once from the settings, then frozen.

Least privilege by default: nobody is an approver until an admin names one, and a profile whose approvers do
not exist denies. A setting that cannot be used raises `ConfigError`, which names it and the key.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import rfc8785

from jupyter_audit.errors import ConfigError, NotPermittedError
from jupyter_audit.model import Json, Role
from jupyter_audit.settings import JupyterAudit

ABSOLUTE_LONGEST_MINUTES = 8 * 60
"""No profile may go beyond this, whatever an admin sets."""

DEFAULT_MINUTES = 30
RECOVERY_MINUTES = 15
LONGEST_WAIT_MINUTES = 60
RECOVERY = "recovery"
DEFAULT_PROFILE = "production-debug"


@dataclass(frozen=True, slots=True)
class Profile:
    """What may be asked for under one name. Times in minutes, `shortest_reason` in characters."""

    name: str
    default_minutes: int = DEFAULT_MINUTES
    longest_minutes: int = ABSOLUTE_LONGEST_MINUTES
    request_waits_minutes: int = LONGEST_WAIT_MINUTES
    shortest_reason: int = 10
    ticket_pattern: str = r"\S+"
    self_approval: bool = False
    kernels: tuple[str, ...] = ()
    recovery: bool = False
    terminals: bool = False


DEFAULT_PROFILES: Mapping[str, Mapping[str, Any]] = {
    DEFAULT_PROFILE: {},
    RECOVERY: {"recovery": True},
}


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules in force. `roles` maps each role to the names that hold it; `*` is everybody."""

    profiles: Mapping[str, Profile]
    roles: Mapping[Role, tuple[str, ...]]
    solo: bool

    @classmethod
    def from_settings(cls, settings: JupyterAudit) -> Policy:
        """Return the policy that the settings describe. Raises `ConfigError` naming what is wrong."""
        given: Mapping[str, Any] = settings.profiles or DEFAULT_PROFILES
        profiles = {str(name): _profile(str(name), values) for name, values in given.items()}
        roles = {Role(role): tuple(names) for role, names in settings.roles.items()}
        return cls(profiles=profiles, roles=roles, solo=bool(settings.solo))

    def roles_of(self, name: str) -> frozenset[Role]:
        """Return the roles that a principal of this name holds."""
        if self.solo:
            return frozenset(Role)
        return frozenset(role for role, names in self.roles.items() if name in names or "*" in names)

    @property
    def has_terminals(self) -> bool:
        """Whether any profile allows terminals; where none does, the server serves none."""
        return any(profile.terminals for profile in self.profiles.values())

    def profile(self, name: str) -> Profile:
        """Return a profile. Raises `NotPermittedError` for a name that no profile has."""
        found = self.profiles.get(name)
        if found is None:
            raise NotPermittedError(
                f"There is no profile {name!r}.", advice=f"Choose one of: {', '.join(sorted(self.profiles))}."
            )
        return found

    def to_json(self) -> dict[str, Json]:
        """Return the policy as JSON, for the entry that says what was in force."""
        profiles: dict[str, Json] = {}
        for name, profile in sorted(self.profiles.items()):
            values: dict[str, Json] = asdict(profile)
            values["kernels"] = list(profile.kernels)
            profiles[name] = values
        roles: dict[str, Json] = {role.value: list(names) for role, names in sorted(self.roles.items())}
        return {"profiles": profiles, "roles": roles, "solo": self.solo}

    def digest(self) -> str:
        """Return the SHA-256, in hex, of the policy's canonical JSON (RFC 8785)."""
        return hashlib.sha256(rfc8785.dumps(self.to_json())).hexdigest()


_BOUNDS = {
    "default_minutes": (1, ABSOLUTE_LONGEST_MINUTES),
    "longest_minutes": (1, ABSOLUTE_LONGEST_MINUTES),
    "request_waits_minutes": (1, LONGEST_WAIT_MINUTES),
    "shortest_reason": (1, 4096),
}


def _profile(name: str, values: Any) -> Profile:
    where = f"c.JupyterAudit.profiles[{name!r}]"
    if not name or not name.isprintable():
        raise ConfigError(f"{where}: a profile needs a printable name.")
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} must be a dictionary, got {type(values).__name__}.")
    known = {field.name for field in fields(Profile)} - {"name"}
    for key, value in values.items():
        at = f"{where}[{key!r}]"
        if key not in known:
            raise ConfigError(
                f"{at} is not a setting of a profile.", advice=f"Known: {', '.join(sorted(known))}."
            )
        if key in _BOUNDS:
            low, high = _BOUNDS[key]
            if type(value) is not int or not low <= value <= high:
                raise ConfigError(f"{at} must be a whole number from {low} to {high}, got {value!r}.")
        elif key in ("self_approval", "recovery", "terminals"):
            if type(value) is not bool:
                raise ConfigError(f"{at} must be True or False, got {value!r}.")
        elif key == "kernels":
            if not isinstance(value, (list, tuple)) or not all(isinstance(kernel, str) for kernel in value):
                raise ConfigError(f"{at} must be a list of kernelspec names, got {value!r}.")
        elif key == "ticket_pattern":
            try:
                if not isinstance(value, str):
                    raise TypeError(f"got {value!r}")
                re.compile(value)
            except (re.error, TypeError) as error:
                raise ConfigError(f"{at} is not a regular expression: {error}.") from error
    given = dict(values)
    if given.get("recovery"):
        given.setdefault("longest_minutes", RECOVERY_MINUTES)
    if "longest_minutes" in given and "default_minutes" not in given:
        usual = RECOVERY_MINUTES if given.get("recovery") else DEFAULT_MINUTES
        given["default_minutes"] = min(usual, given["longest_minutes"])
    profile = Profile(name=name, **{**given, "kernels": tuple(given.get("kernels", ()))})
    if profile.default_minutes > profile.longest_minutes:
        raise ConfigError(
            f"{where}['default_minutes'] is {profile.default_minutes}, more than "
            f"longest_minutes ({profile.longest_minutes})."
        )
    return profile
