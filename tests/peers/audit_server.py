"""
A pytest plugin: jupyter_server's own tests on audited servers (`make peers`).

Every ServerApp that a test makes gets the extension, as in a server that somebody else started, in solo mode, with a grant for
the whole run: what plain jupyter_server does should then work. The tests' folder of kernelspecs stands for the admin's, and
their `python3` is the audit kernel.
"""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from jupyter_core.paths import jupyter_data_dir
from jupyter_core.utils import ensure_event_loop
from jupyter_server.serverapp import ServerApp
from traitlets.config import Config

from jupyter_audit.access.policy import Policy
from jupyter_audit.access.principals import os_account
from jupyter_audit.access.service import AccessService
from jupyter_audit.clock import SystemClock
from jupyter_audit.home import Home
from jupyter_audit.ledger import create_ledger, open_ledger
from jupyter_audit.model import Actor
from jupyter_audit.server import kernelspecs
from jupyter_audit.server.acting import acting_principal
from jupyter_audit.server.kernels import AuditMappingKernelManager
from jupyter_audit.server.pins import SOLO_IDENTITY
from jupyter_audit.settings import JupyterAudit

PROFILE = "production-debug"
KERNELS = ["python3", "audit", "echo", "sample", "sample2", "bad", "sample_with_metadata", "python", "foo", "no_curve"]
SPEC = {
    "argv": ["python", "-I", "-Xfrozen_modules=off", "-m", "jupyter_audit_kernel", "-f", "{connection_file}"],
    "display_name": "Audit",
    "language": "python",
    "metadata": {"debugger": True},
}


def standing_grant(home: Home) -> None:
    """Ask for a grant of eight hours and approve it, on a new ledger."""
    settings = JupyterAudit()
    settings.solo, settings.profiles = True, {PROFILE: {}}
    ledger = open_ledger(home, clock=SystemClock())
    try:
        policy = Policy.from_settings(settings)
        service, me = AccessService(ledger.transact, policy, SystemClock()), os_account()
        asked = service.request(me, profile=PROFILE, reason="tests of others", ticket="PEERS-1", minutes=480)
        service.approve(me, asked.id)
    finally:
        ledger.close()


def pytest_configure() -> None:
    """Have every server of this process audited."""
    home = Home(Path(tempfile.mkdtemp(prefix="ja-peers-")) / "audit")
    atexit.register(shutil.rmtree, home.path.parent, ignore_errors=True)
    create_ledger(home, clock=SystemClock(), actor=Actor.of(os_account()))
    standing_grant(home)
    # Some tests start kernels past the server's API, in its own process: they do it for the same person.
    acting_principal.set(os_account())
    plain = ServerApp.initialize

    def initialize(self: ServerApp, *given: Any, **named: Any) -> None:
        folder = Path(jupyter_data_dir())
        kernelspecs.ENV_JUPYTER_PATH = [str(folder)]
        for name in ("python", "python3"):
            spec = folder / "kernels" / name
            spec.mkdir(parents=True, exist_ok=True)
            (spec / "kernel.json").write_text(json.dumps(SPEC))
        audited = Config()
        audited.JupyterAudit = Config(
            home=str(home.path), solo=True, allowed_kernels=KERNELS, profiles={PROFILE: {}}, free_space_floor=0, grace_seconds=1.0
        )
        extensions = self.config.ServerApp.get("jpserver_extensions", {})
        audited.ServerApp.jpserver_extensions = {**extensions, "jupyter_audit": True}
        if "identity_provider_class" not in self.config.ServerApp:
            audited.ServerApp.identity_provider_class = SOLO_IDENTITY
        self.update_config(audited)
        plain(self, *given, **named)

    ServerApp.initialize = initialize
    plain_start = ServerApp.start_app

    def start_app(self: ServerApp) -> None:
        """Start the extensions, too: a server does so in its loop, which these tests do not run for long."""
        plain_start(self)
        if "jupyter_audit" in self.extension_manager.extension_apps:
            loop = ensure_event_loop()
            starting = self.extension_manager.start_all_extensions()
            if loop.is_running():
                self.starting = loop.create_task(starting)
            else:
                loop.run_until_complete(starting)

    ServerApp.start_app = start_app
    plain_kernel = AuditMappingKernelManager.start_kernel

    async def start_kernel(self: AuditMappingKernelManager, **given: Any) -> str:
        """Wait until the server serves, as whoever asks over HTTP does: some tests ask its kernel manager in the same breath."""
        starting = getattr(self.parent, "starting", None)
        if starting is not None:
            await starting
        started: str = await plain_kernel(self, **given)
        return started

    AuditMappingKernelManager.start_kernel = start_kernel  # type: ignore[assignment]
