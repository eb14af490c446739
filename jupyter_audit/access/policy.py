"""
Policy: what may be asked for, by whom, and who may say yes. Read once from the settings, then frozen.

Least privilege by default: nobody is an approver until an admin names one, and a profile whose approvers do
not exist denies. A setting that cannot be used raises `ConfigError`, which names it and the key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import rfc8785

from jupyter_audit.access.guardrails import RuleFile, find_rules, with_digests
from jupyter_audit.access.profiles import DEFAULT_PROFILES, Profile, parse_profile
from jupyter_audit.errors import ConfigError, NotPermittedError
from jupyter_audit.ledger.auditors import AuditorKey, parse_sealed_to
from jupyter_audit.model import Json, Role
from jupyter_audit.settings import JupyterAudit

GROUP = "group:"
"""Stands before the name of a group where people are listed."""

SCOPE = "scope:"
"""Stands before a scope of JupyterHub where people are listed. Scopes are carried among the groups, with this before them."""

RESERVED = (GROUP, SCOPE, "*")
"""What no name of a person begins with: they mean other things where people are listed."""

LARGEST = 2**53 - 1
"""The largest whole number that every reader of JSON reads alike (RFC 8785)."""

APART = frozenset({"home", "profiles", "roles", "solo", "sealed_to", "pending_requests"})
"""Settings that a policy keeps in a form of its own, and the home, which holds the ledger itself."""


@dataclass(frozen=True, slots=True)
class Policy:
    """
    The rules in force. `roles` maps each role to the names and groups (`group:NAME`) that hold it; `*` is everybody.
    Contents are sealed to the auditors in `sealed_to`; where there is none they are not. At most `pending_requests` of
    one person wait for an answer at a time. `guardrails` are the rules that profiles name; their digests stand there.
    `settings` are all others but those of `APART`: each can decide what runs, or what is kept. `identity` says who names
    people, where that is known: a server knows it, the command line does not (None).
    """

    profiles: Mapping[str, Profile]
    roles: Mapping[Role, tuple[str, ...]]
    solo: bool
    sealed_to: tuple[AuditorKey, ...] = ()
    pending_requests: int = 20
    guardrails: Mapping[str, RuleFile] = field(default_factory=dict)
    settings: Mapping[str, Json] = field(default_factory=dict)
    identity: Mapping[str, Json] | None = None

    @classmethod
    def from_settings(cls, settings: JupyterAudit) -> Policy:
        """Return the policy that the settings describe. Raises `ConfigError` naming what is wrong."""
        given: Mapping[str, Any] = settings.profiles or DEFAULT_PROFILES
        profiles = {str(name): parse_profile(str(name), values) for name, values in given.items()}
        rules: Mapping[str, RuleFile] = {}
        if any(profile.guardrails for profile in profiles.values()):
            rules = find_rules(settings.guardrail_rules)
            profiles = {
                name: replace(profile, guardrails=with_digests(name, profile.guardrails, rules))
                for name, profile in profiles.items()
            }
        for name, profile in profiles.items():
            if settings.solo and profile.approves_cells:
                raise ConfigError(
                    f"c.JupyterAudit.profiles[{name!r}]['cell_approval'] is 'each' in solo mode: nobody else could approve.",
                    advice="Name approvers in c.JupyterAudit.roles, and leave solo mode.",
                    setting=("profiles", name, "cell_approval"),
                )
        roles = {Role(role): tuple(names) for role, names in settings.roles.items()}
        sealed_to = parse_sealed_to(settings.sealed_to)
        pending = settings.pending_requests
        named = {one.name for profile in profiles.values() for one in profile.guardrails}
        return cls(
            profiles=profiles,
            roles=roles,
            solo=bool(settings.solo),
            sealed_to=sealed_to,
            pending_requests=pending,
            guardrails={name: rule for name, rule in rules.items() if name in named},
            settings={name: _as_json(getattr(settings, name)) for name in others(settings)},
        )

    def roles_of(self, name: str, groups: Collection[str] = ()) -> frozenset[Role]:
        """Return the roles that a principal of this name, in these groups, holds."""
        if self.solo:
            return frozenset(Role)
        return frozenset(role for role, names in self.roles.items() if names_one(names, name, groups))

    @property
    def has_terminals(self) -> bool:
        """Whether any profile allows terminals; where none does, the server serves none."""
        return any(profile.terminals for profile in self.profiles.values())

    @property
    def has_guardrails(self) -> bool:
        """Whether any profile has guardrails; where none has, no code is read before it runs."""
        return any(profile.guardrails for profile in self.profiles.values())

    def kept_of_outputs(self, profile: str, otherwise: int) -> int:
        """Return how many bytes of each output's text are kept under a profile; `otherwise` where it does not say."""
        found = self.profiles.get(profile)
        return otherwise if found is None or found.output is None else found.output

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
            profiles[name] = profile.to_json()
        roles: dict[str, Json] = {role.value: list(names) for role, names in sorted(self.roles.items())}
        sealed_to = [str(key) for key in self.sealed_to]
        said: dict[str, Json] = {
            "pending_requests": self.pending_requests,
            "profiles": profiles,
            "roles": roles,
            "sealed_to": sealed_to,
            "settings": dict(self.settings),
            "solo": self.solo,
        }
        return said if self.identity is None else {**said, "identity": dict(self.identity)}

    def digest(self) -> str:
        """Return the SHA-256, in hex, of the policy's canonical JSON (RFC 8785)."""
        return digest_of(self.to_json())


def others(settings: JupyterAudit) -> list[str]:
    """Return the names of the settings that a policy keeps as they are: all but those that it has in a form of its own."""
    return sorted(set(settings.trait_names(config=True)) - APART)


def _as_json(value: Any) -> Json:
    """Return a setting's value as an entry can hold it: as text, where it is a number that JSON has no one spelling for."""
    if isinstance(value, Mapping):
        return {str(key): _as_json(each) for key, each in sorted(value.items())}
    if isinstance(value, (list, tuple)):
        return [_as_json(each) for each in value]
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, (bool, str)) or (isinstance(value, int) and abs(value) <= LARGEST) else str(value)


def digest_of(rules: Mapping[str, Json]) -> str:
    """Return the SHA-256, in hex, of canonical JSON (RFC 8785): the name of one version of some rules."""
    return hashlib.sha256(rfc8785.dumps(dict(rules))).hexdigest()


def names_one(names: Collection[str], name: str, groups: Collection[str]) -> bool:
    """
    Say whether a list of names, `group:NAME`, `scope:NAME` and `*` (everybody) holds a principal of this name and these
    groups. Somebody whose own name looks like a group's or a scope's is not taken for it.
    """
    if "*" in names or (name in names and not name.startswith(RESERVED)):
        return True
    return any((group if group.startswith(SCOPE) else f"{GROUP}{group}") in names for group in groups)
