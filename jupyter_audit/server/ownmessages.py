"""
What the server itself says to kernels: what are you, stop, end. Like all that reaches a kernel it carries a permit (P2).

Jupyter sends these in many places, by the session object of a kernel manager or of a connection; so that is what signs them. What
a client sent is written down and permitted by the gate, and goes out as a whole message, which is left alone here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from jupyter_audit_kernel.formats import PERMIT_KEY
from jupyter_client.session import Session

from jupyter_audit.gate.admit import own_permit
from jupyter_audit.gate.sessions import Session as AuditSession

OWN_TYPES = frozenset({"kernel_info_request", "interrupt_request", "shutdown_request"})


class OwnSession(Session):
    """A session of Jupyter's whose own messages are permitted; `terms` gives the audit session of the kernel, and the time."""

    terms: Callable[[], tuple[AuditSession, datetime] | None] | None = None

    def clone(self) -> Session:
        """Return a session for a client that is made of a kernel manager in this process: it is the server's, too."""
        session: OwnSession = super().clone()  # type: ignore[assignment]  # of the same class
        session.terms = self.terms
        return session

    def msg(
        self,
        msg_type: str,
        content: dict[str, Any] | None = None,
        parent: dict[str, Any] | None = None,
        header: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return a message as Jupyter makes it, with its permit where it is one of the server's own."""
        message: dict[str, Any] = super().msg(msg_type, content, parent, header, metadata)
        terms = self.terms() if self.terms is not None and msg_type in OWN_TYPES else None
        if terms is not None:
            session, now = terms
            permit: Mapping[str, Any] = own_permit(message["header"], message["content"], session, now)
            message["metadata"] = {**message["metadata"], PERMIT_KEY: permit}
        return message
