"""A server on each rung that this machine has, one after the other."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import stand_ins
from isolation_house import FLOOR, MARKS, House, folder_for, server_on
from namespaces import small_disk

from jupyter_audit.access.terms import Rung


@pytest.fixture(scope="session", params=[pytest.param(rung, marks=marks, id=rung.value) for rung, marks in MARKS.items()])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    rung: Rung = request.param
    with ExitStack() as held:
        folder = held.enter_context(folder_for(rung, tmp_path_factory))
        lacks_a_disk = held.enter_context(small_disk(folder, mib=256, files=20_000))
        lacks_daemons = stand_ins.failure()
        mounts = [] if lacks_daemons else held.enter_context(stand_ins.put_up(folder / "system"))
        server = held.enter_context(server_on(rung, folder, f"--JupyterAudit.free_space_floor={FLOOR if not lacks_a_disk else 0}", mounts=mounts))
        addresses = {"SOCKET": str(folder / "agent"), "ABSTRACT": f"\0jupyter-audit-{folder.name}-{server.process.pid}"}
        for address in addresses.values():
            listener = held.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(address)
            listener.listen(64)
        yield House(rung, server, addresses, lacks_daemons, lacks_a_disk)
