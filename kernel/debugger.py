"""
The debugger of the audit kernel: ipykernel's, started without a message and reached through no port.

ipykernel has its debugger begin to listen by sending a cell to itself. Nobody permitted that cell, and seen from the
server it would be code that came past the gate. What it does is done here on the same thread, directly; and where it
opens a port that anybody may use, kernel, pydevd and debugpy's adapter (adapter.py) get pairs of sockets that have no name.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from ipykernel.compiler import get_tmp_directory
from ipykernel.debugger import Debugger, DebugpyClient
from ipykernel.kernelbase import Kernel
from jupyter_client.jsonutil import json_default
from tornado.iostream import IOStream, StreamClosedError
from zmq.utils import jsonapi

END_OF_HEADER = b"\r\n\r\n"


class AdapterClient(DebugpyClient):  # type: ignore[misc]
    """The one client of debugpy's adapter: each connection is a new pair of sockets, whose other end the adapter is handed."""

    adapter: socket.socket | None = None
    """Where the adapter takes clients from; none until it was started."""
    _stream: IOStream | None = None
    _reading: asyncio.Task[None] | None = None

    def get_host_port(self) -> tuple[str, str]:
        """Return what an `attach` says of where the adapter is, which it does not look at."""
        return "", ""

    def connect_tcp_socket(self) -> None:
        """Hand the adapter a client. Runs on the control thread, as does all that follows."""
        if self.adapter is None:
            raise RuntimeError("debugpy's adapter is not there")
        ours, its = socket.socketpair()
        with its:
            socket.send_fds(self.adapter, [b"."], [its.fileno()])
        self._stream = IOStream(ours)
        self._reading = asyncio.ensure_future(self._read(self._stream))

    def disconnect_tcp_socket(self) -> None:
        """Close the connection, and be ready for the next."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        self.init_event.clear()
        self.init_event_seq = -1
        self.wait_for_attach = True

    def _send_request(self, msg: dict[str, Any]) -> None:
        """Send a message to the adapter."""
        if self._stream is None:
            raise RuntimeError("the debugger is off")
        content = jsonapi.dumps(msg, default=json_default, ensure_ascii=False, allow_nan=False)
        self._stream.write(b"Content-Length: %d%b%b" % (len(content), END_OF_HEADER, content))

    async def _read(self, stream: IOStream) -> None:
        """Take answers and events in until the connection is closed."""
        try:
            while True:
                header = await stream.read_until(END_OF_HEADER)
                content = await stream.read_bytes(int(header.rpartition(b":")[2]))
                try:
                    self.message_queue._put_message(content.decode())
                except Exception:
                    # Broad on purpose: one event that somebody could not handle must not end all that follow.
                    self.log.exception("an event of the debugger was not handled")
        except StreamClosedError:
            pass


class AuditDebugger(Debugger):  # type: ignore[misc]
    """Has the main thread debugged, as ipykernel's debugger does."""

    debugpy_initialized: bool

    def __init__(self, log: Any, debugpy_stream: Any, *args: Any, **options: Any) -> None:
        super().__init__(log, debugpy_stream, *args, **options)
        self.debugpy_client = AdapterClient(log, debugpy_stream, self._handle_event)

    def start(self) -> bool:
        """Have this process debugged if it is not, and connect; return whether that is so. Waits for a running cell."""
        if not self.debugpy_initialized:
            Path(get_tmp_directory()).mkdir(mode=0o700, parents=True, exist_ok=True)
            begun: Future[socket.socket] = Future()
            Kernel.instance().io_loop.add_callback(self._begin, begun)
            self.debugpy_client.adapter = begun.result()
            self.debugpy_initialized = True
        started: bool = super().start()
        return started

    def _begin(self, begun: Future[socket.socket]) -> None:
        """Start adapter and pydevd; runs on the main thread, whose code is what is debugged."""
        try:
            begun.set_result(debugged())
        except Exception as error:
            # Broad on purpose: whatever it was, the thread that waits must not wait for ever.
            begun.set_exception(error)


def debugged() -> socket.socket:
    """
    Have this process debugged, as `debugpy.listen` does but without a port; return where the adapter takes its clients from.

    Raises RuntimeError if the adapter does not start, or if something else debugs this process.
    """
    import debugpy
    import pydevd
    from debugpy.server import api

    if api.listen.called or pydevd.get_global_debugger() is not None:
        raise RuntimeError("this process is being debugged by something else")
    clients, its_clients = socket.socketpair()
    kernel, its_kernel = socket.socketpair()
    with its_clients, its_kernel:
        numbers = (its_clients.fileno(), its_kernel.fileno())
        # -I: the kernel runs so, too (kernelspec/kernel.json). A session of its own: the kernel's interrupts are not for it.
        command = [sys.executable, "-I", "-m", "jupyter_audit_kernel.adapter", *map(str, numbers)]
        none = subprocess.DEVNULL
        started = subprocess.run(
            command, pass_fds=numbers, start_new_session=True, stdin=none, stdout=none, stderr=none, check=False
        )
    if started.returncode != 0:
        raise RuntimeError(f"debugpy's adapter did not start (status {started.returncode})")
    connect, pydevd.start_client = pydevd.start_client, lambda host, port: kernel
    try:
        api._settrace(
            host="nowhere",
            port=0,
            suspend=False,
            wait_for_ready_to_run=False,
            block_until_connected=True,
            # Children would connect to a port that is not there, and wait for a front end that Jupyter's do not have.
            patch_multiprocessing=False,
            dont_trace_start_patterns=(str(Path(debugpy.__file__).parent),),
            dont_trace_end_patterns=("debugpy_launcher.py",),
        )
    finally:
        pydevd.start_client = connect
    # As after `debugpy.listen`: a cell that calls it gets the refusal that debugpy has for a second time.
    api.listen.called = True
    os.register_at_fork(after_in_child=let_go)
    return clients


def let_go() -> None:
    """Have a forked child run free: it has none of the threads that would let it go on after a breakpoint."""
    import pydevd

    pydevd.settrace_forked(setup_tracing=False)
    sys.settrace(None)
    threading.settrace(None)
