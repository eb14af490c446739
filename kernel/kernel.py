"""
The audit kernel: IPython's kernel, which runs nothing that the server did not permit.

Every message on shell (subshells too), control and stdin is checked before it is dispatched; what is refused is
answered, so that no client hangs, and reported. A permit keeps out whoever else reaches the kernel's ports.
It does not guard the kernel against code that already runs in it: nothing inside a process can.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from ipykernel.ipkernel import IPythonKernel
from jupyter_audit_kernel.formats import PERMIT_FREE, REPORT_TYPE, PermitChecker, PermitError
from jupyter_audit_kernel.version import __version__
from jupyter_client.session import Session

NAME = "PermitRefused"
SENTENCE = (
    "{error} This kernel runs only what its audited server has recorded and permitted. Use it through that server: "
    "`jupyter audit lab`, or `jupyter audit run NOTEBOOK`."
)


class AuditSession(Session):
    """A session that lets a stdin reply through only if it was permitted."""

    kernel: AuditKernel | None = None

    def recv(self, socket: Any, mode: int = 1, content: bool = True, copy: bool = True) -> Any:
        """Receive as Session does; an input_reply without a good permit is as if it had not come."""
        ident, message = super().recv(socket, mode, content, copy)
        kernel = self.kernel
        if message is None or kernel is None or socket is not kernel.stdin_socket:
            return ident, message
        header = message["header"]
        error = kernel.report(header, kernel.lacks_permit(header, message["metadata"], message["content"]))
        return (None, None) if error else (ident, message)


class AuditKernel(IPythonKernel):  # type: ignore[misc]
    """An IPython kernel that asks for a permit."""

    implementation = "jupyter-audit"
    implementation_version = __version__
    permit_checker: ClassVar[PermitChecker]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._checker = self.permit_checker
        self._check_lock = threading.Lock()
        if isinstance(self.session, AuditSession):
            self.session.kernel = self

    async def dispatch_shell(
        self, msg: Any, /, subshell_id: str | None = None, *, concurrent: bool = False
    ) -> None:
        """Check a shell message, then dispatch it as ipykernel does."""
        # A lone frame is ipykernel's own word between its threads; from outside there are always several.
        if len(msg) > 1:
            if self._supports_kernel_subshells:
                manager = self.shell_channel_thread.manager
                stream = manager.get_subshell_to_shell_channel_socket(subshell_id)
            else:
                stream = self.shell_stream
            if self._refused(msg, stream, "shell", announce=not concurrent):
                return
        await super().dispatch_shell(msg, subshell_id=subshell_id, concurrent=concurrent)

    async def process_control(self, msg: Any) -> None:
        """Check a control message, then process it as ipykernel does."""
        if not self._refused(msg, self.control_stream, "control", announce=True):
            await super().process_control(msg)

    def lacks_permit(
        self, header: Mapping[str, Any], metadata: Mapping[str, Any], content: Mapping[str, Any]
    ) -> PermitError | None:
        """Return why a message has no good permit; None if it has one (which is used up now) or needs none."""
        if header["msg_type"] in PERMIT_FREE:
            return None
        try:
            with self._check_lock:
                self._checker.check(header, metadata, content, datetime.now(UTC))
        except PermitError as error:
            return error
        return None

    def report(self, header: Mapping[str, Any], error: PermitError | None) -> PermitError | None:
        """Tell the server of a message that was refused; return what was given."""
        if error is not None:
            report = {
                "report": "permit_refused",
                "cause": error.cause,
                "msg_type": str(header.get("msg_type"))[:100],
                "msg_id": str(header.get("msg_id"))[:200],
            }
            self.session.send(self.iopub_socket, REPORT_TYPE, report, ident=self._topic(REPORT_TYPE))
        return error

    def _refused(self, frames: Any, stream: Any, channel: str, *, announce: bool) -> bool:
        if not self.session:
            return False
        idents, parts = self.session.feed_identities(frames, copy=False)
        try:
            # A look that is as cheap as can be, since every cell waits for it. Whether the message is signed with
            # the kernel's own key ipykernel checks next, or the second look below.
            header, metadata, content = (json.loads(parts[i].bytes) for i in (1, 3, 4))
            if self.lacks_permit(header, metadata, content) is None:
                return False
            message = self.session.deserialize(parts, content=False, copy=False)
        except Exception:
            # Not a message at all, or somebody's without the key; ipykernel logs it and drops it.
            return False
        error = self.report(message["header"], self.lacks_permit(message["header"], metadata, content))
        if error is None:
            return False
        msg_type = str(message["header"]["msg_type"])
        if announce:
            self._publish_status("busy", channel, parent=message)
        if msg_type.endswith("_request"):
            reply = {
                "status": "error",
                "ename": NAME,
                "evalue": SENTENCE.format(error=error),
                "traceback": [],
                "execution_count": self.execution_count,
            }
            self.session.send(stream, msg_type.removesuffix("_request") + "_reply", reply, parent=message, ident=idents)
        if announce:
            self._publish_status_and_flush("idle", channel, stream, parent=message)
        return True
