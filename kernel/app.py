"""
Starts the audit kernel without any of the user's own startup code.

Started as `python -I -m jupyter_audit_kernel` with an IPYTHONDIR of its own, nothing that a user can write is
run or read before the first permitted cell: no PYTHONSTARTUP, no profile, no module beside the notebook.
"""

from __future__ import annotations

import base64
import logging
import os
import sys
from typing import Any

import zmq
from ipykernel.kernelapp import IPKernelApp
from jupyter_audit_kernel import magic
from jupyter_audit_kernel.formats import PACKAGES_VARIABLE, SESSION_VARIABLE, VERIFY_KEY_VARIABLE, PermitChecker
from jupyter_audit_kernel.kernel import AuditKernel
from jupyter_audit_kernel.session import AuditSession
from jupyter_client.session import Session
from nacl.signing import VerifyKey
from traitlets import Bool, DottedObjectName, default
from traitlets.config import Config


class AuditKernelApp(IPKernelApp):  # type: ignore[misc]
    """ipykernel's application, with the audit kernel in it and the user's startup code left out."""

    name = "jupyter-audit-kernel"
    kernel_class = AuditKernel
    outstream_class = DottedObjectName("jupyter_audit_kernel.output.AuditOutStream").tag(config=True)
    exec_PYTHONSTARTUP = Bool(False)  # noqa: N815 (the trait's own name in IPython)
    # Nothing beside the notebook may shadow a module that is imported while the kernel starts.
    ignore_cwd = Bool(True)
    checker: PermitChecker

    @default("session")
    def _default_session(self) -> Session:
        session = AuditSession(parent=self)
        session.checker = self.checker
        return session

    def init_sockets(self) -> None:
        """Bind the sockets, without ipykernel's advice about ciphers: who may use them is decided by permits."""
        level = self.log.level
        self.log.setLevel(logging.ERROR)
        try:
            super().init_sockets()
        finally:
            self.log.setLevel(level)

    def init_iopub(self, context: Any) -> None:
        """Publish without a high-water mark: beyond it ZeroMQ drops messages, also to the server's watcher, and tells nobody."""
        context.setsockopt(zmq.SNDHWM, 0)  # for sockets that are made from here on
        try:
            super().init_iopub(context)
        finally:
            del context.sockopts[zmq.SNDHWM]

    def initialize(self, argv: list[str] | None = None) -> None:
        """Set the kernel up; afterwards the notebook's folder and the user's packages can be imported from, last of all."""
        super().initialize(argv)
        magic.register(self.shell)
        packages = os.environ.get(PACKAGES_VARIABLE, "")
        for folder in ("", packages):
            if folder not in sys.path:
                sys.path.append(folder)
        if packages:
            # For what the kernel starts, pip among them. Not before: here it would be code that runs ahead of every cell.
            os.environ["PYTHONPATH"] = packages


def take_terms() -> PermitChecker:
    """
    Return the checker for the session that the environment names, and remove it from the environment.

    Ends the process where there is none: there is no mode in which this kernel runs without permits.
    """
    try:
        session = os.environ.pop(SESSION_VARIABLE)
        key = VerifyKey(base64.b64decode(os.environ.pop(VERIFY_KEY_VARIABLE), validate=True))
    except (KeyError, ValueError) as error:
        sys.exit(
            f"The audit kernel starts only through an audited server ({error!r} in its environment).\n"
            "Start one with `jupyter audit lab`, and choose the kernel there."
        )
    return PermitChecker(session, key)


def main() -> None:
    """Run the kernel until it is shut down."""
    checker = take_terms()
    # Commands stay in memory: the ledger keeps them, and a history file would outlive the session.
    config = Config({"HistoryManager": {"hist_file": ":memory:"}})
    app = AuditKernelApp.instance(config=config)
    app.checker = checker
    app.initialize()
    app.start()
