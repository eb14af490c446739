"""
What a command works on: the audit home, the settings in force, and who types.

Commands that act write to the ledger directly, as the account of the operating system; `--server` sends the
same act to a running server instead, as whoever its token names. Whoever can open the audit home holds its
key: on the command line that account is trusted with what it says it is, and the ledger says who it was.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from traitlets import TraitError

from jupyter_audit.access import policydiff
from jupyter_audit.access.book import GrantBook
from jupyter_audit.access.policy import Policy
from jupyter_audit.access.principals import os_account
from jupyter_audit.access.service import AccessService
from jupyter_audit.clock import Clock, SystemClock
from jupyter_audit.configfile import load_admin_config, load_settings, naming_lines
from jupyter_audit.errors import ConfigError
from jupyter_audit.home import Home, default_home
from jupyter_audit.ledger import Ledger, LedgerReader, open_ledger
from jupyter_audit.model import Actor, Content, Json, Principal
from jupyter_audit.record import kinds
from jupyter_audit.settings import JupyterAudit


@dataclass(frozen=True, slots=True)
class Context:
    """The home, the settings and the policy of one command."""

    home: Home
    settings: JupyterAudit
    policy: Policy
    clock: Clock

    @property
    def principal(self) -> Principal:
        """Whoever types: the account of the operating system, with the roles that the policy gives it."""
        name = os_account().name
        return os_account(self.policy.roles_of(name))

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """Open the ledger for writing, for the time of a block."""
        ledger = open_ledger(self.home, clock=self.clock, sealed_to=self.policy.sealed_to)
        try:
            yield ledger
        finally:
            ledger.close()

    @contextmanager
    def access(self) -> Iterator[AccessService]:
        """Open the ledger, say if another policy is in force than before, and give the acts of access upon it."""
        with self.ledger() as ledger:
            actor = Actor.of(self.principal)
            ledger.transact(lambda reader: policydiff.unsaid(self.policy, reader, actor, "command line"))
            yield AccessService(ledger.transact, self.policy, self.clock)

    @contextmanager
    def reader(self) -> Iterator[LedgerReader]:
        """Open the ledger for reading, for the time of a block."""
        self.home.check()
        reader = LedgerReader.open(self.home.ledger)
        try:
            yield reader
        finally:
            reader.close()

    def book(self, reader: LedgerReader) -> GrantBook:
        """Return the grants and requests that a ledger holds."""
        book = GrantBook()
        book.refresh(reader)
        return book

    def note_read(
        self, view: str, detail: Mapping[str, Json] | None = None, contents: Mapping[str, Content] | None = None
    ) -> None:
        """Put down that somebody reads other people's entries on the command line (P9)."""
        self.put_down(kinds.LedgerRead(view=view, detail={"through": "command line", **(detail or {})}), contents)

    def put_down(self, kind: kinds.Kind, contents: Mapping[str, Content] | None = None) -> None:
        """Append an entry about whoever types. Raises `LedgerError`; then what it was for must not happen."""
        with self.ledger() as ledger:
            ledger.append([kinds.draft(kind, actor=Actor.of(self.principal), contents=contents)])


def context_of(options: argparse.Namespace) -> Context:
    """Return the context that the options of a command name. Raises `ConfigError` for unusable settings."""
    named = Path(options.config) if options.config else None
    config = load_admin_config(named)
    with naming_lines(named):
        settings = load_settings(config)
        policy = Policy.from_settings(settings)
    said = config.JupyterAudit
    if options.solo or ("solo" not in said and "roles" not in said):
        # Without an admin's word about roles, whoever owns the key is alone with it: that is solo mode.
        settings.solo = True
        policy = replace(policy, solo=True)
    home = home_of(options, settings)
    return Context(home=home, settings=settings, policy=policy, clock=SystemClock())


def named_home(options: argparse.Namespace) -> Home:
    """
    Return the audit home as `context_of` finds it, for commands that need nothing else of the settings.

    Raises `ConfigError` if the configuration cannot be read or its `home` is none; another setting may be wrong.
    """
    settings = JupyterAudit()
    if not options.home:
        try:
            settings.home = load_admin_config(Path(options.config) if options.config else None).JupyterAudit.get("home", "")
        except TraitError as error:
            raise ConfigError(f"c.JupyterAudit.home cannot be used: {error}", setting=("home",)) from error
    return home_of(options, settings)


def home_of(options: argparse.Namespace, settings: JupyterAudit | None = None) -> Home:
    """Return the audit home that an option, else a setting, else the environment names."""
    named = options.home or (settings.home if settings is not None else "")
    return Home(Path(named).expanduser().absolute() if named else default_home())
