"""
The relay: carries TCP connections from inside of a kernel's network to the named targets, and nowhere else (P3).

A child of the supervisor, outside of the sandbox and out of its reach. It accepts on sockets that were made inside, so
that which target a connection is for is decided by which socket it came on, never by what the kernel says.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from typing import Any

CHUNK = 64 * 1024
CONNECT_S = 20.0


def serve(channel: socket.socket, targets: Sequence[Sequence[Any]]) -> None:
    """Take the listening sockets from `channel`, one for each of `targets` (host, port), and carry until killed."""
    _, listeners, _, _ = socket.recv_fds(channel, 1, len(targets))
    channel.close()
    if len(listeners) == len(targets):
        asyncio.run(_carry_all(listeners, targets))
    os._exit(0)


async def _carry_all(listeners: Sequence[int], targets: Sequence[Sequence[Any]]) -> None:
    servers = []
    for fd, (host, port) in zip(listeners, targets, strict=True):
        servers.append(await asyncio.start_server(_carrier(str(host), int(port)), sock=socket.socket(fileno=fd), limit=CHUNK))
    await asyncio.gather(*(server.serve_forever() for server in servers))


def _carrier(host: str, port: int) -> Any:
    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.wait_for(asyncio.open_connection(host, port, limit=CHUNK), CONNECT_S)
        except (OSError, TimeoutError):
            # To the kernel's side this is what it would be without a relay: no connection.
            writer.transport.abort()
            return
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        for end in (writer, far_writer):
            end.close()

    return carry


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Copy one direction to its end, then close that half."""
    try:
        while data := await source.read(CHUNK):
            sink.write(data)
            await sink.drain()
        sink.write_eof()
    except OSError:
        sink.transport.abort()
