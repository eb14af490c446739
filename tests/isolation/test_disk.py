"""A cell that fills the disk stops cells, not the recording."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.servers import audited_server, wait_for

from jupyter_audit.gate.room import Room

MIB = 1024 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 160 MiB, which takes 3,000 files."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m,nr_inodes=3000", "tmpfs", disk], capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"NOT AVAILABLE HERE: no file system can be mounted: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_stops_cells_then_sessions_and_both_are_put_down(small_disk: Path) -> None:
    with audited_server(small_disk, f"--JupyterAudit.free_space_floor={80 * MIB}") as server:
        server.grant()
        client = server.kernel()
        fill = "import os\nf = os.open('filler', os.O_CREAT | os.O_WRONLY); os.posix_fallocate(f, {}, {}); os.close(f)"
        assert client.run(fill.format(0, 100 * MIB))["status"] == "ok"
        wait_for(lambda: client.run("1")["status"] == "error", "cells to be refused")
        refused = server.await_entry("cell.refused")
        assert refused.body["cause"] == "no_room"
        reply = client.run("1")
        assert "Make room" in reply["evalue"]
        (server.work / "filler").unlink()
        wait_for(lambda: client.run("1")["status"] == "ok", "cells to run again")
        client.execute(fill.format(0, 130 * MIB))
        ended = server.await_entry("session.ended")
        assert (ended.body["cause"], ended.body["clean"]) == ("no_room", True)
        (server.work / "filler").unlink()
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
