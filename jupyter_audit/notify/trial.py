"""A test message to alert targets, at once and by whoever asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jupyter_audit.errors import ConfigError, NotFoundError, UsageError
from jupyter_audit.model import Principal
from jupyter_audit.notify.events import one_line
from jupyter_audit.notify.post import Message, Post
from jupyter_audit.notify.routes import Routes
from jupyter_audit.record import kinds

TEST = "test"
"""The event of entries about trials."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a trial: `error` is empty if the service took the message."""

    target: str
    error: str

    def kind(self) -> kinds.Kind:
        """Return the entry about it."""
        if self.error:
            return kinds.AlertFailed(TEST, self.target, 1, -1, [], self.error[:300], False)
        return kinds.AlertSent(TEST, self.target, 1, -1, [], 1)


def check_targets(routes: Routes, post: Post | None = None) -> dict[str, str]:
    """Return for each target what is wrong with its URL, or nothing. Sends nothing."""
    errors: dict[str, str] = {}
    messages = []
    for name, target in routes.targets.items():
        try:
            messages.append(Message(name, target.url(), "", ""))
        except ConfigError as error:
            errors[name] = f"{error} {error.advice}".strip()
    if messages:
        (post or Post()).send(messages, errors.__setitem__)
    return errors


def try_targets(routes: Routes, names: Sequence[str], principal: Principal, post: Post | None = None) -> list[Outcome]:
    """
    Send a test message to the targets of these names, or to all; return what became of each.

    Raises `UsageError` if there is none, `NotFoundError` for a name that is none.
    """
    if not routes.targets:
        raise UsageError("There is no alert target.", advice="Set c.JupyterAudit.alert_targets (docs/alerts.md).")
    for name in names:
        if name not in routes.targets:
            raise NotFoundError(f"There is no alert target {one_line(name, 64)}.", advice=f"Known: {', '.join(routes.targets)}.")
    errors: dict[str, str] = {}
    messages = []
    for name in dict.fromkeys(names or routes.targets):
        title = "[Jupyter Audit] Test message"
        body = f"{one_line(principal.name, 80)} tries whether alerts arrive at the target {name}. Nothing has happened."
        try:
            messages.append(Message(name, routes.targets[name].url(), title, body))
        except ConfigError as error:
            errors[name] = str(error)
    if messages:
        (post or Post()).send(messages, errors.__setitem__)
    return [Outcome(name, errors[name]) for name in dict.fromkeys(names or routes.targets)]
