"""Audit kernels without a server: the test plays the server and signs the permits."""

from __future__ import annotations

import base64
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_audit_kernel.formats import (
    PERMIT_KEY,
    SESSION_VARIABLE,
    VERIFY_KEY_VARIABLE,
    Permit,
    content_digest,
    sign_permit,
)
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from jupyter_client.session import Session
from nacl.signing import SigningKey

COMMAND = [sys.executable, "-I", "-Xfrozen_modules=off", "-m", "jupyter_audit_kernel", "-f", "{connection_file}"]
PLAIN = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
"""How any Jupyter server starts ipykernel."""


@dataclass
class Terms:
    """What a server gives a kernel, with the secret half that only the server has."""

    session: str = "s-0123456789ab"
    key: SigningKey = field(default_factory=SigningKey.generate)
    entry: int = 0

    def environment(self) -> dict[str, str]:
        public = base64.b64encode(bytes(self.key.verify_key)).decode()
        return {SESSION_VARIABLE: self.session, VERIFY_KEY_VARIABLE: public}

    def permit(self, message: dict[str, Any], **changes: Any) -> dict[str, Any]:
        """Return a permit for a message; `changes` replace what it says."""
        self.entry += 1
        said = {
            "entry": self.entry,
            "session": self.session,
            "msg_id": message["header"]["msg_id"],
            "msg_type": message["header"]["msg_type"],
            "content_digest": content_digest(message["content"]),
            "not_after": int(time.time()) + 600,
        }
        return sign_permit(Permit(**{**said, **changes}), self.key)


Send = Callable[..., Any]


def permitting(send: Send, terms_of: Callable[[Session], Terms | None]) -> Send:
    """Return what sends as `send` does, with permits where `terms_of` gives terms, as the audited server does."""

    def permitted(self: Session, stream: Any, msg_or_type: Any, content: Any = None, **given: Any) -> Any:
        made = {key: given.pop(key) for key in ("parent", "header", "metadata") if key in given}
        message = msg_or_type if isinstance(msg_or_type, dict) else self.msg(msg_or_type, content=content, **made)
        terms = terms_of(self)
        if terms is not None:
            message["metadata"] = {**message["metadata"], PERMIT_KEY: terms.permit(message)}
        return send(self, stream, message, **given)

    return permitted


class PermittedSession(Session):  # type: ignore[misc]
    """A client's session that puts a permit on everything it sends."""

    terms: Terms | None = None
    send = permitting(Session.send, lambda session: session.terms)


def permit_all(terms: Terms) -> Callable[[], None]:
    """Have every client and manager of this process put permits on what it sends; return what ends that."""
    plain = Session.send
    Session.send = permitting(plain, lambda _: terms)
    return lambda: setattr(Session, "send", plain)


@dataclass
class AuditedKernel:
    """A kernel with a client whose messages are permitted, and the terms to make others."""

    client: BlockingKernelClient
    terms: Terms
    manager: KernelManager


def start(folder: Path, terms: Terms, command: list[str] = COMMAND, **environment: str) -> KernelManager:
    """Start a kernel process by hand, in `folder`."""
    folder.mkdir(exist_ok=True)
    (folder / "ipython").mkdir(exist_ok=True)
    manager = KernelManager(kernel_name="python3", connection_file=str(folder / "connection.json"))
    manager.kernel_spec.argv = command
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "IPYTHON", "PYTHON"))}
    env = clean | terms.environment() | {"IPYTHONDIR": str(folder / "ipython")} | environment
    manager.start_kernel(env=env, cwd=str(folder))
    return manager


def connect(manager: KernelManager, terms: Terms | None) -> BlockingKernelClient:
    """Return a client of a kernel; with `terms` it signs permits."""
    client = BlockingKernelClient(connection_file=manager.connection_file)
    client.load_connection_file()
    session = PermittedSession(key=client.session.key, signature_scheme=client.session.signature_scheme)
    session.terms = terms
    client.session = session
    client.start_channels()
    deadline = time.monotonic() + 60
    while True:
        try:
            client.wait_for_ready(timeout=60)
        except RuntimeError:
            # Its heart is late on a busy machine; what counts is whether the process is there.
            if time.monotonic() > deadline or not manager.is_alive():
                raise
        else:
            return client


def wait_until(condition: Callable[[], object], what: str, seconds: float = 20.0) -> None:
    """Return once `condition` holds; fail, saying what was waited for, if it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for {what}"
        time.sleep(0.02)
