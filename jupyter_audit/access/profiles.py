"""
Profiles: what may be asked for under one name, and on what terms. Read from the settings, then frozen.

`PROFILE_KEYS` is the one table of what an admin may say of a profile and of its check; what each key means is told
in `profilekeys.PROFILE_HELP`, from which the help of the setting and docs/configuration.md are made. A value that
cannot be used raises `ConfigError`, which names the very key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from jupyter_audit.access.guardrails import Guardrail, check_named, parse_named
from jupyter_audit.access.hours import Hours, parse_hours
from jupyter_audit.access.terms import OPEN, NetworkPolicy, Rung
from jupyter_audit.errors import ConfigError
from jupyter_audit.model import Json

ABSOLUTE_LONGEST_MINUTES = 8 * 60
"""No profile may go beyond this, whatever an admin sets."""

DEFAULT_MINUTES = 30
RECOVERY_MINUTES = 15
LONGEST_WAIT_MINUTES = 60
LONGEST_BREAK_GLASS_MINUTES = 60
MOST_APPROVALS = 5
NO_CELLS, EACH_CELL = "none", "each"
"""The values of `cell_approval`."""

LONGEST_CELL_WAIT_MINUTES = 60
MOST_PATTERNS = 100
LONGEST_PATTERN = 200
MOST_PREVIEW = 1024 * 1024
DIGEST_ONLY = "digest"
SERVICE_MINUTES = 15
LONGEST_SERVICE_MINUTES = 60
RECOVERY = "recovery"
DEFAULT_PROFILE = "production-debug"


@dataclass(frozen=True, slots=True)
class Profile:
    """
    What may be asked for under one name. Times in minutes, `shortest_reason` in characters.

    `isolation` is the lowest rung that its sessions may have, `network` what of the network they may use. `notebooks`
    are patterns of paths (`notebooks.covers`). Lists of people hold names and, as `group:NAME`, groups; where one is empty,
    the role alone decides. A budget of 0 is none. `services` marks a profile that is for services (and AI agents) alone.
    `hours` are when grants may run (None: at all times). With `signed_approvals` only a yes counts that its approver
    signed with a key of their own. `guardrails` say what code may not contain. `output` is how many bytes of each output
    are kept (0: its digest alone; None: as many as the setting `preview_bytes` says).
    """

    name: str
    default_minutes: int = DEFAULT_MINUTES
    longest_minutes: int = ABSOLUTE_LONGEST_MINUTES
    request_waits_minutes: int = LONGEST_WAIT_MINUTES
    shortest_reason: int = 10
    ticket_pattern: str = r"\S+"
    self_approval: bool = False
    kernels: tuple[str, ...] = ()
    notebooks: tuple[str, ...] = ()
    recovery: bool = False
    services: bool = False
    terminals: bool = False
    isolation: Rung = Rung.NONE
    network: NetworkPolicy = OPEN
    targets: tuple[str, ...] = ()
    requesters: tuple[str, ...] = ()
    approvers: tuple[str, ...] = ()
    approvals: int = 1
    signed_approvals: bool = False
    hours: Hours | None = None
    extensions: int = 2
    advance_days: int = 7
    break_glass: bool = False
    break_glass_minutes: int = 15
    weekly_hours: int = 0
    weekly_extensions: int = 0
    weekly_break_glass: int = 2
    ticket_command: tuple[str, ...] = ()
    ticket_url: str = ""
    ticket_token_file: str = ""
    ticket_seconds: int = 60
    ticket_timeout_seconds: int = 5
    ends_with_ticket: bool = False
    ticket_grace_minutes: int = 15
    acknowledge: bool = False
    idle_minutes: int = 0
    guardrails: tuple[Guardrail, ...] = ()
    cell_approval: str = NO_CELLS
    cell_approval_minutes: int = 15
    output: int | None = None

    @property
    def approves_cells(self) -> bool:
        """Whether each cell waits for somebody's yes."""
        return self.cell_approval == EACH_CELL

    @property
    def checks_tickets(self) -> bool:
        """Whether a tracker is asked about tickets."""
        return bool(self.ticket_command or self.ticket_url)

    def to_json(self) -> dict[str, Json]:
        """Return the profile as JSON, for the entry that says what was in force."""
        values: dict[str, Json] = asdict(self)
        values |= {"isolation": self.isolation.value, "network": self.network.to_json()}
        values["guardrails"] = {one.name: {"mode": one.mode.value, "digest": one.digest} for one in self.guardrails}
        values["output"] = None if self.output is None else {"preview_bytes": self.output}
        values["hours"] = None if self.hours is None else str(self.hours)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


DEFAULT_PROFILES: Mapping[str, Mapping[str, Any]] = {
    DEFAULT_PROFILE: {},
    RECOVERY: {"recovery": True},
}


Check = Callable[[Any], str]
"""Returns what a value must be, or nothing if it is."""


def _whole(low: int, high: int) -> Check:
    return lambda value: "" if type(value) is int and low <= value <= high else f"a whole number from {low} to {high}"


def _flag(value: Any) -> str:
    return "" if type(value) is bool else "True or False"


def _names(what: str) -> Check:
    def check(value: Any) -> str:
        good = isinstance(value, (list, tuple)) and all(isinstance(name, str) and name for name in value)
        return "" if good else f"a list of {what}"

    return check


def _notebooks(value: Any) -> str:
    wanted = "a list of patterns of paths below the server's root, such as 'orders/*.ipynb' or 'shop/**'"
    if not isinstance(value, (list, tuple)) or len(value) > MOST_PATTERNS:
        return wanted
    return next((f"{wanted} ({each!r} {fault})" for each in value if (fault := _pattern_fault(each))), "")


def _pattern_fault(value: Any) -> str:
    """Return why something is no pattern of paths (`access.notebooks`); nothing if it is one."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_PATTERN or not value.isprintable():
        return f"is no text of 1 to {LONGEST_PATTERN} printable characters"
    names = value.split("/")
    if value.startswith("/") or "\\" in value or ":" in names[0]:
        return "is no path below the server's root, with / between its names"
    if value.endswith("/"):
        return "ends in /: write /** for whatever is in a folder"
    if any(name in ("", ".", "..") for name in names):
        return "has an empty name, . or .. in it"
    if any("**" in name and name != "**" for name in names):
        return "has ** in a name: it stands alone, for any number of folders"
    if any("[" in name and not re.search(r"\[!?[^/]+\]", name) for name in names):
        return "has a [ without its ]"
    return ""


def _hours(value: Any) -> str:
    try:
        parse_hours(value)
    except ValueError as error:
        return f"such as 'Mon-Fri 08:00-18:00 Europe/Berlin' ({error})"
    return ""


def _pattern(value: Any) -> str:
    if not isinstance(value, str):
        return "a regular expression, as text"
    try:
        re.compile(value)
    except re.error as error:
        return f"a regular expression ({error})"
    return ""


def _cell_approval(value: Any) -> str:
    return "" if value in (NO_CELLS, EACH_CELL) else f"{NO_CELLS!r} or {EACH_CELL!r}"


def _rung(value: Any) -> str:
    return "" if value in list(Rung) else f"one of {', '.join(Rung)}"


def _network(value: Any) -> str:
    try:
        NetworkPolicy.parse(value)
    except ValueError as error:
        return f"'open', 'none' or a list of 'host:port' ({error})"
    return ""


def _ticket_command(value: Any) -> str:
    if value in ([], ()):
        return ""
    good = isinstance(value, (list, tuple)) and all(isinstance(word, str) and word and "\0" not in word for word in value)
    if good and value[0].startswith("/") and "{ticket}" in value[1:]:
        return ""
    return "a list: the full path of a command, then its arguments, '{ticket}' as one of them ('{user}' may be another)"


def _ticket_url(value: Any) -> str:
    if value == "":
        return ""
    wanted = "an http or https URL with {ticket} in its path or query ({user} too), and no password in it"
    if not isinstance(value, str) or not value.isprintable() or " " in value:
        return wanted
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None and parts.port != 0
    except ValueError:
        return wanted
    rest = f"{parts.path}?{parts.query}"
    left = rest.replace("{ticket}", "").replace("{user}", "")
    if not good or "{" in parts.netloc or "{ticket}" not in rest or "{" in left or "}" in left or parts.fragment:
        return wanted
    return ""


def _path(value: Any) -> str:
    good = isinstance(value, str) and "\0" not in value and (not value or value.startswith("/"))
    return "" if good else "the full path of a file"


def _output(value: Any) -> str:
    good = value is None or value == DIGEST_ONLY
    if isinstance(value, Mapping) and set(value) == {"preview_bytes"}:
        good = not _whole(0, MOST_PREVIEW)(value["preview_bytes"])
    return "" if good else f"'{DIGEST_ONLY}', or {{'preview_bytes': a whole number from 0 to {MOST_PREVIEW}}}"


PROFILE_KEYS: Mapping[str, Check] = {
    "default_minutes": _whole(1, ABSOLUTE_LONGEST_MINUTES),
    "longest_minutes": _whole(1, ABSOLUTE_LONGEST_MINUTES),
    "request_waits_minutes": _whole(1, LONGEST_WAIT_MINUTES),
    "shortest_reason": _whole(1, 4096),
    "ticket_pattern": _pattern,
    "self_approval": _flag,
    "kernels": _names("kernelspec names"),
    "notebooks": _notebooks,
    "recovery": _flag,
    "services": _flag,
    "terminals": _flag,
    "isolation": _rung,
    "network": _network,
    "targets": _names("names of what may be debugged"),
    "requesters": _names("names, or group:NAME"),
    "approvers": _names("names, or group:NAME"),
    "approvals": _whole(1, MOST_APPROVALS),
    "signed_approvals": _flag,
    "hours": _hours,
    "extensions": _whole(0, 100),
    "advance_days": _whole(0, 90),
    "break_glass": _flag,
    "break_glass_minutes": _whole(1, LONGEST_BREAK_GLASS_MINUTES),
    "weekly_hours": _whole(0, 168),
    "weekly_extensions": _whole(0, 1000),
    "weekly_break_glass": _whole(0, 1000),
    "ticket_command": _ticket_command,
    "ticket_url": _ticket_url,
    "ticket_token_file": _path,
    "ticket_seconds": _whole(1, 3600),
    "ticket_timeout_seconds": _whole(1, 30),
    "ends_with_ticket": _flag,
    "ticket_grace_minutes": _whole(0, ABSOLUTE_LONGEST_MINUTES),
    "acknowledge": _flag,
    "idle_minutes": _whole(0, ABSOLUTE_LONGEST_MINUTES),
    "guardrails": check_named,
    "cell_approval": _cell_approval,
    "cell_approval_minutes": _whole(1, LONGEST_CELL_WAIT_MINUTES),
    "output": _output,
}


def parse_profile(name: str, values: Any) -> Profile:
    """Return the profile that a setting describes. Raises `ConfigError` naming what is wrong."""
    where, setting = f"c.JupyterAudit.profiles[{name!r}]", ("profiles", name)
    if not name or not name.isprintable():
        raise ConfigError(f"{where}: a profile needs a printable name.", setting=setting)
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} must be a dictionary, got {type(values).__name__}.", setting=setting)
    for key, value in values.items():
        check = PROFILE_KEYS.get(key)
        if check is None:
            raise ConfigError(
                f"{where}[{key!r}] is not a setting of a profile.",
                advice=f"Known: {', '.join(sorted(PROFILE_KEYS))}.",
                setting=(*setting, str(key)),
            )
        wanted = check(value)
        if wanted:
            raise ConfigError(f"{where}[{key!r}] must be {wanted}, got {value!r}.", setting=(*setting, key))
    profile = Profile(name=name, **_completed(values))
    if profile.services:
        _check_services(profile, where)
    if profile.guardrails and profile.terminals:
        raise ConfigError(
            f"{where} has guardrails and allows terminals: what is typed into a terminal cannot be judged by them.",
            advice="Set terminals to False, or make a profile of its own for terminals.",
            setting=(*setting, "guardrails"),
        )
    if profile.default_minutes > profile.longest_minutes:
        raise ConfigError(
            f"{where}['default_minutes'] is {profile.default_minutes}, more than "
            f"longest_minutes ({profile.longest_minutes}).",
            setting=(*setting, "default_minutes"),
        )
    if profile.notebooks and profile.terminals:
        raise ConfigError(
            f"{where}['terminals'] is True in a profile that is for certain notebooks, and a terminal is none of them.",
            advice="Give terminals in a profile of their own.",
            setting=(*setting, "terminals"),
        )
    if profile.approves_cells:
        _check_cell_approval(profile, where, setting)
    _check_tickets(profile, where, setting)
    return profile


def _check_services(profile: Profile, where: str) -> None:
    """Raise `ConfigError` for what no service may have: much time, the last word, or a way around being asked."""
    if profile.longest_minutes > LONGEST_SERVICE_MINUTES:
        raise ConfigError(f"{where}['longest_minutes'] is more than {LONGEST_SERVICE_MINUTES}, the most for services.")
    for key in ("self_approval", "break_glass", "recovery", "terminals"):
        if getattr(profile, key):
            raise ConfigError(f"{where}[{key!r}] cannot be True in a profile for services.")


def _check_cell_approval(profile: Profile, where: str, setting: tuple[str, ...]) -> None:
    """Raise `ConfigError` for what cannot go together with an approval of each cell."""
    for key, why in (
        ("terminals", "what is typed into a terminal is no cell"),
        ("break_glass", "a glass is broken when nobody answers"),
        ("recovery", "a full disk is mended when nobody answers"),
    ):
        if getattr(profile, key):
            raise ConfigError(
                f"{where}[{key!r}] is True in a profile whose cells are approved one by one: {why}.",
                advice="Give it in a profile of its own.",
                setting=(*setting, key),
            )


def _check_tickets(profile: Profile, where: str, setting: tuple[str, ...]) -> None:
    if profile.ticket_command and profile.ticket_url:
        raise ConfigError(f"{where} has both ticket_command and ticket_url: set one.", setting=(*setting, "ticket_url"))
    if profile.ends_with_ticket and not profile.checks_tickets:
        raise ConfigError(
            f"{where}['ends_with_ticket'] is True, and nothing says whether a ticket is open.",
            advice="Set ticket_command or ticket_url.",
            setting=(*setting, "ends_with_ticket"),
        )
    if profile.ticket_token_file and not profile.ticket_url:
        raise ConfigError(
            f"{where}['ticket_token_file'] goes with ticket_url.", setting=(*setting, "ticket_token_file")
        )


def _completed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values as a profile holds them, with the defaults that follow from one another."""
    given = {key: tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
             for key, value in values.items()}  # fmt: skip
    if "guardrails" in given:
        given["guardrails"] = parse_named(values["guardrails"])
    if "output" in given:
        said = values["output"]
        given["output"] = 0 if said == DIGEST_ONLY else None if said is None else said["preview_bytes"]
    if "isolation" in given:
        given["isolation"] = Rung(str(given["isolation"]))
    if "network" in given:
        given["network"] = NetworkPolicy.parse(given["network"])
    if "hours" in given:
        given["hours"] = parse_hours(given["hours"])
    if given.get("recovery"):
        given.setdefault("longest_minutes", RECOVERY_MINUTES)
    if given.get("services"):
        given.setdefault("longest_minutes", LONGEST_SERVICE_MINUTES)
        given.setdefault("default_minutes", min(SERVICE_MINUTES, given["longest_minutes"]))
    if "longest_minutes" in given and "default_minutes" not in given:
        usual = RECOVERY_MINUTES if given.get("recovery") else DEFAULT_MINUTES
        given["default_minutes"] = min(usual, given["longest_minutes"])
    return given
