"""
Jupyter Server's kernel managers, with a session around each kernel's life (P1, P2).

Set as class traits, so that they fail closed: without the extension's services no kernel starts. The hooks
used here lie on every road to a process: REST, sessions, restart, and the restarter that goes round the
multi-kernel manager.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from jupyter_core.utils import ensure_async
from jupyter_server._tz import utcnow
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager, ServerKernelManager
from jupyter_server.utils import ApiPath
from tornado import web
from traitlets import default

from jupyter_audit.access.terms import NetworkPolicy
from jupyter_audit.errors import AuditError, GateError, NotStartedError
from jupyter_audit.gate.admit import Passed
from jupyter_audit.gate.clientmessage import ClientMessage
from jupyter_audit.gate.decide import Refuse
from jupyter_audit.gate.holding import INTERRUPTED
from jupyter_audit.gate.launch import SOCKETS, LaunchTerms, packages_folder
from jupyter_audit.gate.provisioner import AuditProvisioner
from jupyter_audit.gate.sessions import Session, SessionState
from jupyter_audit.model import Principal
from jupyter_audit.server.acting import acting_principal
from jupyter_audit.server.activity import activity_of
from jupyter_audit.server.documents import names_of, opened_document
from jupyter_audit.server.endings import Endings
from jupyter_audit.server.lives import Lives, Use
from jupyter_audit.server.ownmessages import OwnSession
from jupyter_audit.server.reach import check_reach
from jupyter_audit.server.refusals import RefusedError
from jupyter_audit.server.services import Services, find_services
from jupyter_audit.server.watch import IopubAddress, Listener
from jupyter_audit.server.websocket import AuditWebsocketConnection

LIVES_KEY = "jupyter_audit_lives"
ENDINGS_KEY = "jupyter_audit_endings"


class AuditKernelManager(ServerKernelManager):
    """One kernel: begins a session before each launch and ends it after each shutdown."""

    _audit_session: Session | None = None
    _audit_owner: Principal | None = None
    _audit_documents: dict[str, str]
    _audit_died: bool = False
    _audit_comes_back: bool = False
    _audit_not_started: bool = False
    _audit_closing: bool = False
    _audit_proof: asyncio.Task[None] | None = None
    _audit_giving_up: asyncio.Task[None] | None = None
    _audit_activity: Listener | None = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Jupyter sets it a moment after a kernel is in the list, and cannot tell the list meanwhile.
        self.last_activity = utcnow()
        self._audit_documents = {}
        self._audit_turn = asyncio.Lock()

    @default("session")
    def _default_session(self) -> OwnSession:
        session = OwnSession(parent=self)
        session.terms = self._terms
        return session

    def _terms(self) -> tuple[Session, datetime] | None:
        parts, session = self._parts(), self._audit_session
        return None if parts is None or session is None else (session, parts[0].clock.now())

    async def start_kernel(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]  # a coroutine there, too
        """Start as Jupyter does, one thing at a time: what is ended while it starts is ended once it has."""
        async with self._audit_turn:
            return await super().start_kernel(*args, **kwargs)

    async def restart_kernel(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]  # a coroutine there, too
        """Restart as Jupyter does, one thing at a time. Raises `GateError` where the kernel is being ended."""
        async with self._audit_turn:
            self._check_may_start_again()
            return await super().restart_kernel(*args, **kwargs)

    async def shutdown_kernel(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]  # a coroutine there, too
        """End as Jupyter does, one thing at a time."""
        async with self._audit_turn:
            return await super().shutdown_kernel(*args, **kwargs)

    async def audit_close(self, *, now: bool) -> None:
        """
        Let nothing start this kernel again, and return when it can be ended: after whatever is being done with it.

        Jupyter would let a restart go on meanwhile, and the kernel of that would be none of the server's.
        """
        self._audit_closing = True
        if now and self._audit_turn.locked() and self.provisioner is not None:
            # A restart that waits for the kernel to go of its own accord must not keep it.
            await self.provisioner.kill()
        async with self._audit_turn:
            if self.has_kernel and (self.ready.cancelled() or self.ready.exception() is not None):
                # Jupyter forgets a kernel that failed to start, whatever of it runs.
                await super().shutdown_kernel(now=True)

    async def audit_at_rest(self) -> None:
        """Return when nothing is being done with this kernel: neither a start nor a restart nor an end."""
        async with self._audit_turn:
            pass

    def _check_may_start_again(self) -> None:
        if self._audit_closing:
            raise GateError("This kernel is being ended, so it does not start again.", advice="Start another.")

    def _kernels(self) -> AuditMappingKernelManager:
        if not isinstance(self.parent, AuditMappingKernelManager):
            raise GateError("No kernel may start: it has no audited server around it.")
        return self.parent

    def _parts(self) -> tuple[Services, Lives, Endings] | None:
        return self._kernels().audit_parts()

    async def _async_pre_start_kernel(self, **kw: Any) -> tuple[list[str], dict[str, Any]]:
        parts = self._parts()
        if parts is None:
            raise GateError("No kernel may start: Jupyter Audit did not load on this server.")
        services, lives, _ = parts
        self._check_may_start_again()
        owner = self._audit_owner or acting_principal.get()
        if owner is None:
            raise GateError("No kernel may start: nobody was seen to ask for it.")
        opened = opened_document.get()
        if self._audit_owner is None and opened is not None:
            # At the first start alone: what restarts a kernel by itself runs in the context of that start for ever.
            self._audit_documents = dict([opened])
        self._audit_owner = owner
        if self._audit_session is not None:
            await self._end_life("died")
        self.kernel_id = self.kernel_id or kw["kernel_id"]
        use = self._audit_use()
        with lives.beginning():
            session = await lives.begin(self.kernel_id, self.kernel_name, owner, use, str(kw.get("cwd") or ""))
            self._audit_session = session
            self._kernels().audit_managers[session.id] = self
        if (now := self._audit_use()) != use:
            # It was moved while its beginning was put down.
            lives.moved(session, now, use.notebook, owner)
        self._audit_died, self._audit_comes_back, self._audit_not_started = False, self._audit_died, False
        async with self._or_end():
            return await self._prepare_launch(services, session, kw)

    async def _prepare_launch(
        self, services: Services, session: Session, kw: dict[str, Any]
    ) -> tuple[list[str], dict[str, Any]]:
        if not isinstance(self.provisioner, AuditProvisioner):
            # A kernelspec may name a provisioner; on this server only ours starts processes.
            self.provisioner = AuditProvisioner(
                kernel_id=self.kernel_id, kernel_spec=self.kernel_spec, parent=self
            )
        terms = launch_terms(services, session, Path(str(self._kernels().root_dir)))
        session.limit = self.provisioner.limit
        self.connection_file = str(self.provisioner.prepare(terms))
        self._choose_transport(session, terms)
        command, kw = await super()._async_pre_start_kernel(**kw)
        return command, kw

    async def _async_launch_kernel(self, kernel_cmd: list[str], **kw: Any) -> None:
        async with self._or_end():
            try:
                await super()._async_launch_kernel(kernel_cmd, **kw)
            except NotStartedError as error:
                if not self._audit_comes_back:
                    raise
                # What restarts kernels that died counts how often, where it finds them dead; an error it would not count.
                self.log.error("jupyter-audit: %s", error)
                self._audit_not_started = True

    @asynccontextmanager
    async def _or_end(self) -> AsyncIterator[None]:
        """Put down the end of a session whose kernel could not be started, and leave nothing of it."""
        try:
            yield
        except Exception:
            if isinstance(self.provisioner, AuditProvisioner):
                await self.provisioner.kill()
                await self.provisioner.cleanup()
            await self._end_life("not_started")
            raise

    def audit_document(self, jupyter_session: str, path: str) -> None:
        """Take in that a client uses this kernel, by this session of Jupyter's, for `path`."""
        before = self._audit_documents.get(jupyter_session)
        if before == path:
            return
        self._audit_documents.pop(jupyter_session, None)
        self._audit_documents[jupyter_session] = path
        parts, session = self._parts(), self._audit_session
        if parts is not None and session is not None:
            parts[1].moved(session, self._audit_use(), before or "", acting_principal.get() or session.owner)

    def _audit_use(self) -> Use:
        paths = tuple(self._audit_documents.values())
        return Use(paths[-1] if paths else "", names_of(paths, Path(str(self._kernels().root_dir))))

    def _choose_transport(self, session: Session, terms: LaunchTerms) -> None:
        """
        Have the kernel listen on sockets in the session's own folder: a port could be knocked at by any local process.

        Not every kernel of another language can do that; where the network is open anyway, they keep their ports.
        """
        assert self.kernel_spec is not None
        transport = transport_for(self.kernel_spec.language, session.network)
        if transport != self.transport:
            for channel in ("shell", "iopub", "stdin", "hb", "control"):
                setattr(self, f"{channel}_port", 0)
        self.transport = transport
        self.ip = str(terms.session_dir / SOCKETS) if transport == "ipc" else "127.0.0.1"

    async def _async_post_start_kernel(self, **kw: Any) -> None:
        await super()._async_post_start_kernel(**kw)
        parts, session = self._parts(), self._audit_session
        if parts is None or session is None:
            raise GateError("The kernel has no audit session.")
        services, lives, endings = parts
        if self._restarter is not None:
            self.add_restart_callback(self._note_death, "restart")
            self.add_restart_callback(self._note_death_for_good, "dead")
        address = IopubAddress(
            url=self._make_url("iopub"), key=self.session.key, signature_scheme=self.session.signature_scheme
        )
        self._audit_activity = activity_of(self._kernels(), self)
        services.watcher.listen(session.id, self._audit_activity)
        services.watcher.watch(session, address, lives.heard(session))
        # A restarted kernel has its sockets in another folder: whoever was connected must be led there. Not so whoever is still
        # connected to a kernel that had this id before and is gone: that was another, and may have been somebody else's.
        for connection in AuditWebsocketConnection.of_kernel(str(self.kernel_id)):
            if connection.kernel_manager is self:
                connection.rejoin()
            else:
                connection.send_away()
        self._audit_proof = asyncio.get_running_loop().create_task(self._prove(session, lives, endings))

    async def _prove(self, session: Session, lives: Lives, endings: Endings) -> None:
        try:
            await lives.prove(session, self)
        except GateError as error:
            self.log.error("jupyter-audit: %s", error)
            await endings.end(session, "canary", f"{error} It was ended. Tell an admin.")

    async def _async_cleanup_resources(self, restart: bool = False) -> None:
        await super()._async_cleanup_resources(restart=restart)
        await self._end_life("died" if self._audit_died else "restart" if restart else "shutdown")

    async def _async_interrupt_kernel(self) -> None:
        """Interrupt as Jupyter does; what waits for an approval is given up as well."""
        parts, session = self._parts(), self._audit_session
        if parts is not None and session is not None:
            parts[0].gate.held.cancel(INTERRUPTED, session=session)
        await super()._async_interrupt_kernel()

    interrupt_kernel = _async_interrupt_kernel  # both names, as jupyter_client has it

    def _note_death(self) -> None:
        self._audit_died = True

    def _note_death_for_good(self) -> None:
        self._audit_giving_up = asyncio.get_running_loop().create_task(self._give_up())

    async def _give_up(self) -> None:
        """End the last session of a kernel that nothing starts again any more: Jupyter only forgets it."""
        self._audit_closing = True
        await self._end_life("died")
        if self.provisioner is not None:
            await self.provisioner.cleanup()

    async def _end_life(self, cause: str) -> None:
        """Put the session's end down, once, with what the supervisor found when it swept up."""
        session, self._audit_session = self._audit_session, None
        parts = self._parts()
        if session is None or parts is None:
            return
        if self._audit_proof is not None:
            self._audit_proof.cancel()
        if self._audit_activity is not None:
            parts[0].watcher.unlisten(session.id, self._audit_activity)
        if self._audit_not_started:
            cause = "not_started"
        outcome = self.provisioner.outcome if isinstance(self.provisioner, AuditProvisioner) else None
        processes, clean = (outcome.processes, outcome.clean) if outcome is not None else (0, False)
        await parts[1].end(session, cause, processes, clean)


class AuditMappingKernelManager(AsyncMappingKernelManager):
    """All kernels of the server."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self.audit_managers: weakref.WeakValueDictionary[str, AuditKernelManager] = weakref.WeakValueDictionary()
        """The kernels by their sessions' ids, also those that are no kernels of the server's yet, or any more."""
        self._audit_starting: set[str] = set()
        self.kernel_manager_class = f"{AuditKernelManager.__module__}.{AuditKernelManager.__qualname__}"

    async def _add_kernel_when_ready(self, kernel_id: str, km: Any, kernel_awaitable: Awaitable[Any]) -> None:
        """Start a kernel, and forget one that did not: a stop would end it before all others, and fail at it."""
        await super()._add_kernel_when_ready(kernel_id, km, kernel_awaitable)
        if kernel_id not in self:
            self._pending_kernels.pop(kernel_id, None)

    async def _finish_kernel_start(self, kernel_id: str) -> None:
        await super()._finish_kernel_start(kernel_id)  # type: ignore[no-untyped-call]
        if kernel_id in self:
            self._kernel_ports[kernel_id] = _address(self.get_kernel(kernel_id))

    def _get_changed_ports(self, kernel_id: str) -> list[Any] | None:
        """Return where a kernel is reached, if that is elsewhere than before; Jupyter's own looks at ports alone."""
        now = _address(self.get_kernel(kernel_id))
        return now if now != self._kernel_ports.get(kernel_id) else None

    def start_watching_activity(self, kernel_id: str) -> None:
        """Note that a kernel was active now; the watcher, which reads what it publishes, tells of what comes (activity.py)."""
        kernel: Any = self.get_kernel(kernel_id)
        kernel.reason, kernel.last_activity = "", utcnow()

    async def interrupt_kernel(self, kernel_id: str) -> None:  # type: ignore[override]  # a coroutine there, too
        """
        Interrupt a kernel as REST is asked to, under the verdict on the message that does the same, or say why not (403).

        An earlier cell may have put code where the signal arrives.
        """
        parts, principal = self.audit_parts(), acting_principal.get()
        if parts is None or principal is None:
            raise web.HTTPError(403, "No kernel is interrupted: nobody was seen to ask for it.")
        gate, session = parts[0].gate, parts[0].sessions.of_kernel(kernel_id)
        message = ClientMessage("control", {"msg_id": "", "msg_type": "interrupt_request"}, {}, {}, {})
        if session is None:
            verdict: Passed | Refuse = gate.refuse_without_session(message, kernel_id, principal)
        else:
            verdict = gate.interrupt(message, session, principal)
        if isinstance(verdict, Refuse):
            raise RefusedError(verdict.cause.value, verdict.sentence)
        if session is not None:
            # A kernel that is not proven yet runs the canary alone, and would be ended if that failed.
            await session.ready.wait()
            if session.state is not SessionState.LIVE or not self.get_kernel(kernel_id).ready.done():
                return  # it is being restarted or ended: what ran is over
        await ensure_async(super().interrupt_kernel(kernel_id))

    async def _async_shutdown_kernel(
        self, kernel_id: str, now: bool | None = False, restart: bool | None = False
    ) -> None:
        """End a kernel, whatever is being done with it."""
        kernel = self._kernels.get(kernel_id)
        if isinstance(kernel, AuditKernelManager):
            await kernel.audit_close(now=bool(now))
            if kernel_id not in self:
                return  # somebody else's order has ended it meanwhile
        await super()._async_shutdown_kernel(kernel_id, now=now, restart=restart)  # type: ignore[no-untyped-call]
        if (ending := self._pending_kernels.get(kernel_id)) is not None:
            # With `use_pending_kernels` Jupyter goes on before the kernel has ended. What ends grants and servers must not.
            await asyncio.wait([ending])

    shutdown_kernel = _async_shutdown_kernel  # type: ignore[assignment]  # both names, as jupyter_server has it

    def audit_parts(self) -> tuple[Services, Lives, Endings] | None:
        """Return what the extension put into the web application, or None if it did not."""
        web_app = getattr(self.parent, "web_app", None)
        if web_app is None:
            return None
        services = find_services(web_app.settings)
        if services is None:
            return None
        return services, web_app.settings[LIVES_KEY], web_app.settings[ENDINGS_KEY]

    async def _async_start_kernel(self, *, kernel_id: str | None = None, path: Any = None, **kwargs: Any) -> str:
        """Start a kernel, or say in one sentence why not (403; 409 if one of the same id is being started)."""
        if kernel_id in self._audit_starting:
            # Jupyter would start two, and know one of them.
            raise web.HTTPError(409, "A kernel of this id is being started. Wait for it, or start one without an id.")
        # Whoever asks: the Authorizer sees what requests name, and puts it down; an extension names what it likes.
        check_reach("" if path is None else path, str(self.root_dir), hidden=True)
        named = {kernel_id} if kernel_id is not None and kernel_id not in self else set()
        self._audit_starting |= named
        try:
            # Without a path Jupyter would leave the kernel in the folder where the server was started.
            started: str = await super()._async_start_kernel(
                kernel_id=kernel_id, path=ApiPath("") if path is None else path, **kwargs
            )
        except AuditError as error:
            raise web.HTTPError(error.http_status, error.explain()) from error
        finally:
            self._audit_starting -= named
        return started

    start_kernel = _async_start_kernel  # type: ignore[assignment]  # both names, as jupyter_server has it


def _address(kernel: Any) -> list[Any]:
    return [kernel.ip, *kernel.ports]


def transport_for(language: str, network: NetworkPolicy) -> str:
    """Return how a kernel of a language is talked to, `ipc` or `tcp`."""
    return "tcp" if network.open and language.lower() != "python" else "ipc"


def launch_terms(services: Services, session: Session, root_dir: Path) -> LaunchTerms:
    """Return the terms under which the provisioner launches this session's kernel."""
    settings = services.settings
    return LaunchTerms(
        session=session.id,
        verify_key=session.signing_key.verify_key,
        environment=tuple(settings.kernel_environment),
        session_dir=services.sessions_folder / session.id,
        rung=session.isolation,
        # The runtime folder holds files with the server's token, wherever it is.
        hidden=(services.home.path, services.sessions_folder, services.runtime_folder),
        writable=(root_dir, *(Path(folder).expanduser() for folder in settings.kernel_writable)),
        grace_seconds=settings.grace_seconds,
        network=session.network,
        account=session.account,
        packages=packages_folder(settings.kernel_packages, session.owner.name, session.account),
        processes=settings.kernel_processes,
    )
