"""
Who is told, as the admin set it: targets by name, people's targets, and which events go where.

A target's URL holds secrets. It is read when something is sent and stands nowhere else: not in the ledger, not in what
people are shown. Of a target only its name and the kind of service are told.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from jupyter_audit.errors import ConfigError
from jupyter_audit.home import Home
from jupyter_audit.model import Json
from jupyter_audit.notify.events import APPROVERS, EVENTS, EVERYONE, HOLDER, LEVELS, Notice
from jupyter_audit.settings import JupyterAudit

FILE, ENVIRONMENT = "file:", "env:"
WORDS = frozenset({EVERYONE, APPROVERS, HOLDER})
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SCHEME = re.compile(r"([a-z][a-z0-9+.-]{1,30})://\S+", re.IGNORECASE)
LONGEST_URL = 4000


@dataclass(frozen=True, slots=True)
class Target:
    """Where something is sent. `said` is what the setting holds: a URL, `file:NAME` or `env:NAME`."""

    name: str
    said: str
    folder: Path

    def url(self) -> str:
        """
        Return the URL as it is now.

        Raises `ConfigError` if there is none, or others could read the file. No message says what the URL is.
        """
        if self.said.startswith(FILE):
            text = self._from_file(self.folder / self.said.removeprefix(FILE))
        elif self.said.startswith(ENVIRONMENT):
            variable = self.said.removeprefix(ENVIRONMENT)
            text = os.environ.get(variable, "")
            if not text:
                raise ConfigError(f"The alert target {self.name} is to be in ${variable}, which is not set.",
                                  advice="Set it where the server is started.")  # fmt: skip
        else:
            text = self.said
        text = text.strip()
        if len(text) > LONGEST_URL or not SCHEME.fullmatch(text):
            raise ConfigError(
                f"The alert target {self.name} is no URL of a service.",
                advice="Such as mailtos://user:password@example.org?to=ops@example.org (docs/alerts.md).",
            )
        return text

    def _from_file(self, path: Path) -> str:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                status = os.fstat(descriptor)
                if status.st_uid not in (0, os.geteuid()) or stat.S_IMODE(status.st_mode) & 0o077:
                    raise ConfigError(
                        f"The alert target {self.name} is in {path}, which others could read or change.",
                        advice=f"chmod 600 {path}, and let it belong to the account that runs the server.",
                    )
                lines = file.read(LONGEST_URL + 1).decode("utf-8", "replace").split()
        except OSError as error:
            raise ConfigError(f"The alert target {self.name} is to be in {path}: {error.strerror}.") from error
        return lines[0] if lines else ""

    def service(self) -> str:
        """Return the kind of service, such as `mailtos` or `slack`; a question mark where it cannot be told now."""
        try:
            found = SCHEME.fullmatch(self.url())
        except ConfigError:
            return "?"
        return found[1].lower() if found else "?"

    @property
    def readable_by_kernels(self) -> bool:
        """Whether the URL stands where code in a kernel of the server's account can look: anywhere but the audit home."""
        if self.said.startswith(FILE):
            return not (self.folder / self.said.removeprefix(FILE)).is_relative_to(self.folder.parent)
        return True


@dataclass(frozen=True, slots=True)
class Routes:
    """What is told to whom. `people` are the targets of names and groups; `link` is the panel's address."""

    targets: Mapping[str, Target]
    people: Mapping[str, tuple[str, ...]]
    routes: Mapping[str, tuple[str, ...]]
    finding_level: str
    ending_minutes: int
    review_hours: int

    @classmethod
    def from_settings(cls, settings: JupyterAudit, home: Home) -> Routes:
        """Return the routes that the settings describe. Raises `ConfigError` that names the setting."""
        folder = home.path / "alerts"
        targets = {}
        for name, said in settings.alert_targets.items():
            if not NAME.fullmatch(name) or name in WORDS:
                raise _wrong("alert_targets", name, "is no name for a target", "Letters, digits, dots and dashes.")
            if not said.startswith((FILE, ENVIRONMENT)) and not SCHEME.fullmatch(said.strip()):
                raise _wrong("alert_targets", name, "is neither a URL nor file:NAME nor env:NAME",
                             "Such as file:oncall, in the folder `alerts` of the audit home (docs/alerts.md).")  # fmt: skip
            targets[name] = Target(name, said, folder)
        people = {name: tuple(named) for name, named in settings.alert_people.items()}
        for name, named in people.items():
            _known("alert_people", name, named, targets)
        routes = {name: event.default if targets else () for name, event in EVENTS.items()}
        if settings.alert_routes:
            routes = {name: tuple(settings.alert_routes.get(name, ())) for name in EVENTS}
        for name in settings.alert_routes:
            if name not in EVENTS:
                raise _wrong("alert_routes", name, "is no event", f"Known: {', '.join(EVENTS)}.")
            _known("alert_routes", name, routes[name], {*targets, *WORDS})
        return cls(
            targets=targets,
            people=people,
            routes=routes,
            finding_level=settings.alert_finding_level,
            ending_minutes=settings.alert_ending_minutes,
            review_hours=settings.alert_review_hours,
        )

    def to_json(self) -> dict[str, Json]:
        """Return what the ledger keeps of it: names and kinds of services, no URL."""
        return {
            "targets": {name: target.service() for name, target in sorted(self.targets.items())},
            "people": {name: list(named) for name, named in sorted(self.people.items())},
            "routes": {name: list(named) for name, named in self.routes.items() if named},
            "finding_level": self.finding_level,
        }

    def tells(self, notice: Notice, target: str) -> bool:
        """Say whether a notice is for a target."""
        for word in self.routes[notice.event]:
            if word in (EVERYONE, target):
                return True
            if word == HOLDER and target in self.people.get(notice.holder, ()):
                return True
            if word == APPROVERS and self._answers(notice, target):
                return True
        return False

    def _answers(self, notice: Notice, target: str) -> bool:
        own = (notice.holder, notice.behalf)
        theirs = {name for name, named in self.people.items() if target in named and name not in own}
        return bool(theirs and ("*" in notice.answers or theirs.intersection(notice.answers)))

    def counts(self, level: str) -> bool:
        """Say whether a finding of this level is told at all; one of a level that is not known is."""
        return level not in LEVELS or LEVELS.index(level) >= LEVELS.index(self.finding_level)

    @property
    def hears_broken_glass(self) -> bool:
        """Whether anybody is told of a broken glass."""
        return bool(reached("break_glass", self.routes, self.targets, self.people))


def reached(
    event: str, routes: Mapping[str, Collection[str]], targets: Collection[str], people: Mapping[str, Collection[str]]
) -> set[str]:
    """Return the targets that an event could go to."""
    found: set[str] = set()
    for word in routes.get(event, ()):
        if word == EVERYONE:
            found |= set(targets)
        elif word in WORDS:
            found |= {target for named in people.values() for target in named}
        else:
            found.add(word)
    return found & set(targets)


def _known(setting: str, name: str, named: Collection[str], known: Collection[str]) -> None:
    for word in named:
        if word not in known:
            raise _wrong(setting, name, f"names {word!r}, which is no target", f"Known: {', '.join(sorted(known)) or 'none'}.")


def _wrong(setting: str, name: str, what: str, advice: str) -> ConfigError:
    return ConfigError(f"c.JupyterAudit.{setting}[{name!r}] {what}.", advice=advice, setting=(setting, name))
