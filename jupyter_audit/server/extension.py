"""
The server extension: opens the ledger, puts the services together, and begins and ends their work.

Loading raises where anything that recording depends on is missing, so that the server exits instead of
running unrecorded (`reraise_server_extension_failures`); and the class traits, which need what is made here,
start no kernel without it.
"""

from __future__ import annotations

import asyncio
import gc
import secrets
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from jupyter_audit_kernel.version import __version__
from jupyter_server.extension.application import ExtensionApp, ExtensionAppJinjaMixin
from jupyter_server.utils import url_path_join
from traitlets.config import Config

from jupyter_audit.access import policydiff
from jupyter_audit.access.book import GrantBook
from jupyter_audit.access.policy import Policy
from jupyter_audit.access.service import AccessService
from jupyter_audit.clock import SystemClock
from jupyter_audit.detect.runner import DetectionRunner
from jupyter_audit.errors import AuditError
from jupyter_audit.gate import orphans
from jupyter_audit.gate.admit import Gate
from jupyter_audit.gate.isolation import check_folders, probe
from jupyter_audit.gate.launch import sessions_folder
from jupyter_audit.gate.room import Room
from jupyter_audit.home import Home, default_home
from jupyter_audit.ledger import LedgerReader, open_ledger
from jupyter_audit.ledger.sealing import prove_sealing
from jupyter_audit.model import SERVER
from jupyter_audit.notify.post import Post
from jupyter_audit.notify.routes import Routes
from jupyter_audit.notify.runner import AlertRunner
from jupyter_audit.notify.standing import UNHEARD_ADVICE, glasses_unheard, unheard_sentence
from jupyter_audit.record import kinds
from jupyter_audit.record.fresh import FreshContents
from jupyter_audit.record.recorder import Recorder
from jupyter_audit.server import aftermath, authenticators, guard
from jupyter_audit.server.anchoring import Anchoring
from jupyter_audit.server.assertions import assess
from jupyter_audit.server.endings import Endings
from jupyter_audit.server.handlers import handlers_for
from jupyter_audit.server.identity import check_identity, identity_of
from jupyter_audit.server.judging import CodeJudge
from jupyter_audit.server.kernels import ENDINGS_KEY, LIVES_KEY
from jupyter_audit.server.lives import Lives
from jupyter_audit.server.observers import Observers
from jupyter_audit.server.pins import CLASSES
from jupyter_audit.server.services import SETTINGS_KEY, Assessment, Services
from jupyter_audit.server.terminal_handlers import ROUTES as TERMINAL_ROUTES
from jupyter_audit.server.terminals import TERMINALS_KEY, AuditTerminalManager
from jupyter_audit.server.watch import Watcher
from jupyter_audit.settings import JupyterAudit

HERE = Path(__file__).parent


class AuditExtension(ExtensionAppJinjaMixin, ExtensionApp):
    """Jupyter Audit in a Jupyter Server."""

    name = "jupyter_audit"
    extension_url = "/audit/panel"
    load_other_extensions = True
    classes = [JupyterAudit]  # noqa: RUF012 (the three are traitlets' own way)
    static_paths = [str(HERE / "static")]  # noqa: RUF012
    template_paths = [str(HERE / "templates")]  # noqa: RUF012

    _services: Services | None = None
    _lives: Lives | None = None
    _endings: Endings | None = None
    _detections: DetectionRunner | None = None
    _sweeper: asyncio.Task[None] | None = None
    _life: aftermath.LifeLock | None = None
    _anchoring: Anchoring | None = None
    _judge: CodeJudge | None = None
    _alerts: AlertRunner | None = None

    def _link_jupyter_server_extension(self, serverapp: Any) -> None:
        """Before anything is built: set the gate's classes on a server that the launcher did not start."""
        super()._link_jupyter_server_extension(serverapp)
        if not getattr(serverapp, "launched", False):
            serverapp.reraise_server_extension_failures = True
            serverapp.terminals_enabled = False  # Jupyter's own; where a profile allows terminals, ours are served
            # As configuration: whatever is merged later would otherwise bring back what somebody configured.
            classes = {
                trait: value
                for trait, value in CLASSES.items()
                # An admin may keep notebooks elsewhere; what is asserted is that it is not in files.
                if trait != "contents_manager_class" or trait not in serverapp.config.ServerApp
            }
            serverapp.update_config(Config({type(serverapp).__name__: classes}))

    @property
    def app_around(self) -> Any:
        """The server application that this extension is part of."""
        assert self.serverapp is not None
        return self.serverapp

    def initialize_settings(self) -> None:
        """Open the ledger and put the services into the web application. Raises where that fails."""
        try:
            guard.install(self.app_around.web_app, JupyterAudit(parent=self.app_around).allowed_handlers)
            self._open()
        except AuditError as error:
            self.log.critical("Jupyter Audit does not serve kernels: %s", error.explain())
            if getattr(self.serverapp, "launched", False):
                raise
            # Nobody expects a traceback from `jupyter lab`, and a server that goes on would be past the gate.
            raise SystemExit(
                "No server was started, because Jupyter Audit is installed in this environment and cannot "
                "record. Start `jupyter audit lab` (after `jupyter audit init`), mend what the line above names, or "
                "uninstall jupyter-audit to have a server that records nothing."
            ) from error

    def _open(self) -> None:
        serverapp = self.app_around
        settings = JupyterAudit(parent=serverapp)
        policy = replace(
            Policy.from_settings(settings), identity=identity_of(serverapp.identity_provider, serverapp.config)
        )
        check_identity(serverapp.identity_provider, solo=policy.solo)
        authenticators.check_settings(settings)
        home = Home(Path(settings.home).expanduser().absolute() if settings.home else default_home())
        check_folders(home.path, Path(serverapp.root_dir))
        clock = SystemClock()
        fresh = FreshContents() if policy.sealed_to else None
        prove_sealing(policy.sealed_to)
        recorder = Recorder(lambda: open_ledger(home, clock=clock, sealed_to=policy.sealed_to), fresh=fresh)
        reader = LedgerReader.open(home.ledger)
        book = GrantBook()
        book.refresh(reader)
        recorder.subscribe(book.hear)
        panel = url_path_join(serverapp.base_url, "audit/panel")
        room = Room(home.path, settings.free_space_floor)
        self._judge = CodeJudge(policy, self.log) if policy.has_guardrails else None
        gate = Gate(
            recorder=recorder,
            book=book,
            reader=reader,
            policy=policy,
            clock=clock,
            panel=panel,
            keep=settings.preview_bytes,
            room=room,
            timeout=settings.record_timeout_seconds,
            judge_code=self._judge,
        )
        lives: Lives
        watcher = Watcher(lambda session, observed: lives.observed(session, observed))

        services = Services(
            settings=settings,
            home=home,
            policy=policy,
            clock=clock,
            recorder=recorder,
            reader=reader,
            book=book,
            access=AccessService(lambda decide: recorder.transact(decide).result(), policy, clock),
            gate=gate,
            watcher=watcher,
            observers=Observers(recorder, watcher),
            isolation=probe(settings.isolation, settings.kernel_account),
            sessions_folder=sessions_folder(home.run / "sessions", settings.kernel_account),
            runtime_folder=Path(serverapp.runtime_dir),
            room=room,
            server_id=secrets.token_hex(6),
            panel=panel,
            alert_routes=Routes.from_settings(settings, home),
        )
        lives = Lives(services, self.log)
        services.replied = lives.replied
        services.known_people = getattr(serverapp.identity_provider, "known_people", services.known_people)
        endings = Endings(services, serverapp.kernel_manager, self.log)
        lives.on_foreign_code = lambda session: self._end_foreign(session)
        lives.on_not_begun = endings.tell_not_begun
        self._services, self._lives, self._endings = services, lives, endings
        self._anchoring = Anchoring(home, settings, clock, recorder, self.log)
        self._detections = DetectionRunner(home.ledger, recorder, settings, fresh=fresh)
        self._alerts = self._alerting(services)
        self.settings[SETTINGS_KEY] = services
        self.settings[LIVES_KEY] = lives
        self.settings[ENDINGS_KEY] = endings
        if policy.has_terminals:
            endings.terminals = AuditTerminalManager.make(services, lives, Path(serverapp.root_dir))
            self.settings[TERMINALS_KEY] = endings.terminals
            self.settings["terminals_available"] = True

    def _alerting(self, services: Services) -> AlertRunner:
        """Return what tells people, and say loudly where nobody would hear of a broken glass."""
        runner = AlertRunner(
            services.alert_routes,
            services.home,
            services.recorder,
            services.policy,
            services.clock,
            # Asked later: which port it is, is not known yet.
            link=lambda: url_path_join(services.settings.public_url or self.app_around.connection_url, "audit/panel"),
            server=services.server_id,
            # A courier is a child of the server's own and no orphan of a session.
            post=Post(started=orphans.register, ended=orphans.forget),
        )
        if unheard := glasses_unheard(services.alert_routes, services.policy):
            self.log.critical("jupyter-audit: %s. %s", unheard_sentence(unheard), UNHEARD_ADVICE)
        return runner

    def _end_foreign(self, session: Any) -> None:
        if self._endings is not None:
            sentence = "Code reached this kernel past the gate, so it was ended. The ledger holds a finding."
            self._foreign_end = asyncio.get_running_loop().create_task(
                self._endings.end(session, "foreign_code", sentence)
            )

    def initialize_handlers(self) -> None:
        """Add the panel and the REST API."""
        self.handlers.extend(handlers_for(self.name))
        if TERMINALS_KEY in self.settings:
            self.handlers.extend(TERMINAL_ROUTES)

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:
        """Put down that the server serves, with what it could and could not assert, and begin to sweep."""
        services, endings = self._services, self._endings
        if services is None or endings is None or self._detections is None:
            raise RuntimeError("Jupyter Audit was started without having been loaded.")
        assessment = assess(serverapp)
        services.assessment = Assessment(tuple(assessment.assured), tuple(assessment.unassured))
        started = kinds.ServerStarted(
            server=services.server_id,
            version=__version__,
            mode="solo" if services.policy.solo else "shared",
            launched=bool(getattr(serverapp, "launched", False)),
            isolation=services.isolation.rung.value,
            policy=services.policy.to_json(),
            policy_digest=services.policy.digest(),
            assured=services.assessment.assured,
            unassured=services.assessment.unassured,
        )
        run = services.home.run
        self._life = aftermath.LifeLock(run, services.server_id)
        # What earlier servers left unsaid is said before this one's own first word.
        unsaid = services.recorder.transact(
            lambda reader: aftermath.left_unsaid(reader, lambda server: aftermath.lives(run, server))
        )
        await asyncio.wrap_future(unsaid)
        policy = services.policy
        changed = services.recorder.transact(lambda reader: policydiff.unsaid(policy, reader, SERVER, "server"))
        await asyncio.wrap_future(changed)
        await asyncio.wrap_future(services.recorder.record(kinds.draft(started)))
        self._detections.start()
        if self._judge is not None:
            self._judge.warm_up()
        if self._anchoring is not None:
            self._anchoring.start()
        if self._alerts is not None:
            self._alerts.start()
        self._sweeper = asyncio.get_running_loop().create_task(endings.sweep_for_ever())
        if getattr(serverapp, "launched", False):
            gc.freeze()  # what was loaded last, the detections: no collection need look through it while cells wait
        services.serving = True

    async def stop_extension(self) -> None:
        """End every session, put the stop down, and close the ledger."""
        services, endings = self._services, self._endings
        if services is None or endings is None:
            return
        services.serving = False
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._lives is not None:
            # What passed the check before that was put down as begun, and would have no end.
            await self._lives.settled()
        await endings.end_all("server_stopped", "The server was stopped, so this session was ended.")
        endings.close()
        if self._judge is not None:
            await asyncio.to_thread(self._judge.close)
        if self._detections is not None:
            await asyncio.to_thread(self._detections.close)
        if self._alerts is not None:
            await asyncio.to_thread(self._alerts.close)
        services.recorder.owe(kinds.draft(kinds.ServerStopped(server=services.server_id)))
        await asyncio.to_thread(services.watcher.close)
        await asyncio.to_thread(services.recorder.close)
        services.reader.close()
        if self._anchoring is not None:
            await asyncio.to_thread(self._anchoring.close)
        if services.sessions_folder.parent != services.home.run:
            shutil.rmtree(services.sessions_folder, ignore_errors=True)
        if self._life is not None:
            self._life.release()
