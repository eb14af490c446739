"""
The audit kernel: IPython's kernel, which runs nothing that the server did not permit (P2).

Every message on shell (subshells too), control and stdin is admitted by its session before it is dispatched
(session.py). What is refused is answered, so that no client hangs, and reported; what is not a message is dropped.
"""

from __future__ import annotations

from typing import Any

from ipykernel.ipkernel import IPythonKernel
from jupyter_audit_kernel.formats import REPORT_TYPE
from jupyter_audit_kernel.session import AuditSession, RefusedError
from jupyter_audit_kernel.version import __version__
from traitlets import Float, Type

NAME = "PermitRefused"
SENTENCE = (
    "{error} This kernel runs only what its audited server has recorded and permitted. Use it through that server: "
    "`jupyter audit lab`, or `jupyter audit run NOTEBOOK`."
)


class AuditKernel(IPythonKernel):  # type: ignore[misc]
    """An IPython kernel that asks for a permit."""

    # What clients tell kernels apart by is IPython's, name and version: it is that kernel, asking for permits.
    debugger_class = Type("jupyter_audit_kernel.debugger.AuditDebugger")
    # ipykernel sleeps after each cell, from times when a flush did not wait for what it flushed. Outputs come on another socket
    # than the reply, and clients wait for `idle`, which comes after them: no sleep makes that safer.
    _execute_sleep = Float(0.0).tag(config=True)
    _told_of_unreadable = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(self.session, AuditSession):
            raise TypeError(f"the audit kernel needs a session that asks for permits, not {self.session!r}")
        self.session.on_refused = self._report
        self.session.on_unreadable = self._report_unreadable

    @property
    def banner(self) -> str:
        """What a console shows first: whose kernel this is, then IPython's own."""
        return f"Jupyter Audit {__version__}: each cell is put down before it runs.\n{super().banner}"

    async def dispatch_shell(
        self, msg: Any, /, subshell_id: str | None = None, *, concurrent: bool = False
    ) -> None:
        """Admit a shell message, then dispatch it as ipykernel does."""
        if len(msg) == 1:
            # ipykernel's own word between its threads; from outside there are always several frames.
            await super().dispatch_shell(msg, subshell_id=subshell_id, concurrent=concurrent)
            return
        frames = self._admitted(msg, "shell", subshell_id, announce=not concurrent)
        if frames is not None:
            try:
                await super().dispatch_shell(msg, subshell_id=subshell_id, concurrent=concurrent)
            finally:
                self.session.withdraw(frames)

    async def process_control(self, msg: Any) -> None:
        """Admit a control message, then process it as ipykernel does."""
        frames = self._admitted(msg, "control", None, announce=True)
        if frames is not None:
            try:
                await super().process_control(msg)
            finally:
                self.session.withdraw(frames)

    def _admitted(self, raw: Any, channel: str, subshell_id: str | None, *, announce: bool) -> Any:
        """Return the frames of a message that may be dispatched now; None if it may not, and was answered."""
        try:
            idents, frames = self.session.feed_identities(raw, copy=False)
            self.session.vouch(frames, self.session.admit(frames, copy=False))
        except RefusedError as refused:
            self._report(refused)
            self._answer(refused, idents, channel, self._stream(channel, subshell_id), announce=announce)
            return None
        except Exception:
            # Broad on purpose: whatever makes a message unreadable, it must not be read by anything that comes after.
            self.log.exception("Invalid message on the %s channel", channel)
            self._report_unreadable()
            return None
        return frames

    def _stream(self, channel: str, subshell_id: str | None) -> Any:
        if channel == "control":
            return self.control_stream
        if self._supports_kernel_subshells:
            return self.shell_channel_thread.manager.get_subshell_to_shell_channel_socket(subshell_id)
        return self.shell_stream

    def _report_unreadable(self) -> None:
        """Tell the server, once, that somebody without the kernel's key, or without a message, found its ports."""
        if not self._told_of_unreadable:
            self._told_of_unreadable = True
            report = {"report": "message_unreadable", "cause": "unreadable"}
            self.session.send(self.iopub_socket, REPORT_TYPE, report, ident=self._topic(REPORT_TYPE))

    def _report(self, refused: RefusedError) -> None:
        """Tell the server of a message that was refused."""
        header = refused.message["header"]
        known = header if isinstance(header, dict) else {}
        report = {
            "report": "permit_refused",
            "cause": refused.error.cause,
            "msg_type": _shown(known.get("msg_type")),
            "msg_id": _shown(known.get("msg_id")),
        }
        self.session.send(self.iopub_socket, REPORT_TYPE, report, ident=self._topic(REPORT_TYPE))

    def _answer(self, refused: RefusedError, idents: Any, channel: str, stream: Any, *, announce: bool) -> None:
        message, msg_type = refused.message, str(refused.message["msg_type"])
        try:
            if announce:
                self._publish_status("busy", channel, parent=message)
            if msg_type.endswith("_request"):
                reply = {
                    "status": "error",
                    "ename": NAME,
                    "evalue": SENTENCE.format(error=refused.error),
                    "traceback": [],
                    "execution_count": self.execution_count,
                }
                reply_type = msg_type.removesuffix("_request") + "_reply"
                self.session.send(stream, reply_type, reply, parent=message, ident=idents)
            if announce:
                self._publish_status_and_flush("idle", channel, stream, parent=message)
        except (TypeError, ValueError, AttributeError):
            # A header that no answer can carry back: text that is no Unicode, a list where an object belongs.
            self.log.warning("A message without a permit could not be answered.")


def _shown(value: object) -> str:
    """Return a stranger's text as a report can hold it: bounded, and without lone surrogates."""
    return str(value)[:200].encode("utf-8", "replace").decode("utf-8")
