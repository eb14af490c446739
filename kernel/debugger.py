"""
The debugger of the audit kernel: ipykernel's, started without a message.

ipykernel has its debugger begin to listen by sending a cell to itself. Nobody permitted that cell, and seen from the
server it would be code that came past the gate. The same two lines are run on the same thread here, directly.
"""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

from ipykernel.compiler import get_tmp_directory
from ipykernel.debugger import Debugger
from ipykernel.kernelbase import Kernel


class AuditDebugger(Debugger):  # type: ignore[misc]
    """Listens for debugpy's client on the main thread, as ipykernel's debugger does."""

    debugpy_initialized: bool

    def start(self) -> bool:
        """Begin to listen if need be, and connect; return whether the debugger is there. Waits for a running cell."""
        if not self.debugpy_initialized:
            Path(get_tmp_directory()).mkdir(mode=0o700, parents=True, exist_ok=True)
            listening: Future[None] = Future()
            Kernel.instance().io_loop.add_callback(self._listen, listening)
            listening.result()
            self.debugpy_initialized = True
        started: bool = super().start()
        return started

    def _listen(self, listening: Future[None]) -> None:
        """Have debugpy listen; runs on the main thread, whose code is what is debugged."""
        import debugpy

        try:
            host, port = self.debugpy_client.get_host_port()
            debugpy.listen((host, int(port)))
        except Exception as error:
            # Broad on purpose: whatever it was, the thread that waits must not wait for ever.
            listening.set_exception(error)
        else:
            listening.set_result(None)
