"""A cell that fills the disk stops cells, not the recording."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import namespaces
import pytest
from support.servers import audited_server

from jupyter_audit.gate.room import Room

MIB = 1024 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 160 MiB, which takes 3,000 files."""
    disk = tmp_path / "disk"
    disk.mkdir()
    with namespaces.small_disk(disk, mib=160, files=3000) as lacking:
        if lacking:
            pytest.skip(f"NOT AVAILABLE HERE: {lacking}")
        yield disk


def test_a_disk_that_no_file_fits_on_ends_sessions_and_starts_none_and_that_is_put_down(small_disk: Path) -> None:
    """One that no byte fits on is tried on each rung, in test_probes.py."""
    with audited_server(small_disk, f"--JupyterAudit.free_space_floor={80 * MIB}") as server:
        server.grant()
        client = server.kernel()
        client.execute(EMPTY_FILES)
        ended = server.await_entry("session.ended", lambda e: e.body["kernel_id"] == client.kernel_id)
        assert (ended.body["cause"], ended.body["clean"]) == ("no_room", True)
        status, told = server.request("POST", "/api/kernels", {"name": "audit"})
        assert status != 201
        assert "more files fit" in told["message"]


EMPTY_FILES = """
import itertools
for n in itertools.count():
    open(f'empty-{n}', 'x').close()
"""
"""Takes no bytes, and all the inodes that there are."""


def test_the_room_is_short_below_the_floor_and_spent_below_half_of_it(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    assert not Room(tmp_path, free // 2).short
    assert Room(tmp_path, free * 2 - free // 2).short
    assert not Room(tmp_path, free * 2 - free // 2).spent
    assert Room(tmp_path, free * 4).spent
    assert not Room(tmp_path, 0).short
