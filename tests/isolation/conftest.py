"""A server on each rung that this machine has, one after the other."""

from __future__ import annotations

import ctypes
import mmap
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.shared_memory import SharedMemory

import pytest
import stand_ins
from isolation_house import FLOOR, MARKS, House, folder_for, server_on
from namespaces import small_disk

from jupyter_audit.access.terms import Rung

IPC_PRIVATE, IPC_CREAT, IPC_RMID = 0, 0o1000, 0  # shmget(2), shmctl(2)


@contextmanager
def shared_memory() -> Iterator[dict[str, object]]:
    """Have shared memory of both kinds, as another program of the account would; yield what each is found by."""
    libc = ctypes.CDLL(None, use_errno=True)
    named = SharedMemory(create=True, size=mmap.PAGESIZE)
    segment = libc.shmget(IPC_PRIVATE, mmap.PAGESIZE, IPC_CREAT | 0o600)
    try:
        yield {"SHARED": named.name.lstrip("/"), "SEGMENT": segment}
    finally:
        libc.shmctl(segment, IPC_RMID, None)
        named.close()
        named.unlink()


@pytest.fixture(scope="session", params=[pytest.param(rung, marks=marks, id=rung.value) for rung, marks in MARKS.items()])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    rung: Rung = request.param
    with ExitStack() as held:
        folder = held.enter_context(folder_for(rung, tmp_path_factory))
        lacks_a_disk = held.enter_context(small_disk(folder, mib=256, files=20_000))
        lacks_daemons = stand_ins.failure()
        mounts = [] if lacks_daemons else held.enter_context(stand_ins.put_up(folder / "system"))
        server = held.enter_context(server_on(rung, folder, f"--JupyterAudit.free_space_floor={FLOOR if not lacks_a_disk else 0}", mounts=mounts))
        addresses: dict[str, str] = {"SOCKET": str(tmp_path_factory.mktemp("a") / "agent"), "ABSTRACT": f"\0jupyter-audit-{folder.name}-{server.process.pid}"}
        for address in addresses.values():
            listener = held.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(address)
            listener.listen(64)
        shared = held.enter_context(shared_memory())
        yield House(rung, server, addresses | shared, lacks_daemons, lacks_a_disk)
