"""A server on each rung that this machine has, one after the other."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from isolation_house import MARKS, House
from support.servers import audited_server


@pytest.fixture(scope="session", params=[pytest.param(rung, marks=marks, id=rung.value) for rung, marks in MARKS.items()])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = Path(tmp_path_factory.mktemp("r"))
    with ExitStack() as held, audited_server(folder, f"--JupyterAudit.isolation={request.param.value}") as server:
        addresses = {"SOCKET": str(folder / "agent"), "ABSTRACT": f"\0jupyter-audit-{folder.name}-{server.process.pid}"}
        for address in addresses.values():
            listener = held.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(address)
            listener.listen(64)
        yield House(request.param, server, addresses)
