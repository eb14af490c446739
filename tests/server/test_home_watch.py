"""The audit home's modes are looked after while the server runs. What a cell comes to is in tests/isolation/test_probes.py."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jupyter_audit.home import Home
from jupyter_audit.model import Draft
from jupyter_audit.server.homewatch import QUIET_S, REST_S, HomeWatch

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="NOT AVAILABLE HERE: only Linux tells of each change")


class Watched:
    """A home with something in it, whose watch has a clock and an ear for what it says."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder / "audit")
        self.home.create()
        for name, mode in (("ledger.db", 0o600), ("ledger.db-wal", 0o600), ("keys/ledger.key", 0o600), ("keys/ledger.vkey", 0o644)):
            self.file(name, mode)
        (self.home.run / "jupyter").mkdir(mode=0o700)
        self.said: list[Draft] = []
        self.now = 1000.0
        self.watch = HomeWatch(
            self.home, self.home.run / "jupyter", self.said.append, lambda: (), logging.getLogger("test"), lambda: self.now
        )

    def file(self, name: str, mode: int) -> Path:
        path = self.home.path / name
        path.touch()
        path.chmod(mode)
        return path

    def mode(self, name: str) -> int:
        return stat.S_IMODE((self.home.path / name).stat().st_mode)

    @property
    def sentences(self) -> list[str]:
        return [str(draft.body["explanation"]).partition(": ")[2].partition(". ")[0] for draft in self.said]


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    made = Watched(tmp_path)
    yield made
    made.watch.close()


@pytest.mark.parametrize("mode", [0o755, 0o701, 0o000], ids=lambda mode: f"{mode:04o}")
@pytest.mark.parametrize("name", ["", "keys", "run", "run/jupyter", "keys/ledger.key", "ledger.db", "ledger.db-wal"])
def test_what_is_opened_or_closed_is_put_right_and_found(watched: Watched, name: str, mode: int) -> None:
    right = watched.mode(name)
    (watched.home.path / name).chmod(mode)
    watched.watch.look()
    assert watched.mode(name) == right
    [found] = watched.said
    assert (found.type, found.body["rule"], found.body["level"]) == ("finding.raised", "home-modes", "high")
    assert watched.sentences == [f"{(watched.home.path / name).resolve()} (mode {mode:04o}, put back to {right:04o})"]


def test_the_key_is_found_open_behind_folders_that_were_opened_with_it(watched: Watched) -> None:
    for name in ("keys/ledger.key", "keys", ""):
        (watched.home.path / name).chmod(0o755)
    watched.watch.look()
    assert [watched.mode(name) for name in ("", "keys", "keys/ledger.key")] == [0o700, 0o700, 0o600]
    assert len(watched.said) == 1
    assert watched.sentences[0].count("put back") == 3


def test_nothing_is_said_of_what_belongs_to_a_servers_day(watched: Watched) -> None:
    watched.file("ledger.db-wal", 0o600).unlink()
    watched.file("ledger.db", 0o600).write_bytes(b"more")
    watched.file("remembered.checkpoint.1", 0o600).replace(watched.home.path / "remembered.checkpoint")
    os.utime(watched.file("ledger.db-shm", 0o600))
    watched.watch.look()
    (watched.home.run / "jupyter" / "open.html").touch(mode=0o644)
    watched.file("keys/ledger.key.next", 0o600).replace(watched.home.signing_key)
    (watched.home.path / "anchors").mkdir(mode=0o700)
    watched.home.create()
    watched.watch.look()
    assert [sentence for sentence in watched.sentences if "put back" in sentence] == []
    assert watched.mode("keys/ledger.vkey") == 0o644


def test_what_takes_the_place_of_a_private_file_must_be_private(watched: Watched) -> None:
    watched.watch.look()
    (watched.home.path / "beside").write_bytes(b"")
    (watched.home.path / "beside").chmod(0o640)
    (watched.home.path / "beside").replace(watched.home.signing_key)
    watched.watch.look()
    assert watched.mode("keys/ledger.key") == 0o600
    assert watched.sentences == [f"{watched.home.signing_key.resolve()} (mode 0640, put back to 0600)"]


def test_what_could_not_be_seen_for_a_while_must_be_private_all_the_same(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell can close a folder again between the two calls that put it right and list it."""
    with monkeypatch.context() as blind:
        blind.setattr("jupyter_audit.server.homewatch._folder_and_files", lambda folder: ())
        watched.watch.look()
    watched.home.signing_key.chmod(0o644)
    watched.watch.look()
    assert watched.sentences == [f"{watched.home.signing_key.resolve()} (mode 0644, put back to 0600)"]


@ON_LINUX
@pytest.mark.parametrize("name", ["", "keys/ledger.key"])
def test_what_is_right_again_before_anybody_looks_is_found_all_the_same(watched: Watched, name: str) -> None:
    path = watched.home.path / name
    right = watched.mode(name)
    path.chmod(0o755)
    path.chmod(right)
    watched.watch.look()
    assert watched.sentences == [f"{path.resolve()} (attributes set by somebody; its mode is {right:04o})"]


def test_what_is_done_again_and_again_is_said_at_once_then_gathered_and_never_lost(watched: Watched) -> None:
    for _ in range(4):
        watched.home.run.chmod(0o755)
        watched.watch.look()
    assert len(watched.said) == 1
    watched.now += QUIET_S
    watched.watch.look()
    assert watched.sentences[1].endswith("put back to 0700), 3 times")
    watched.home.run.chmod(0o755)
    watched.watch.look()
    assert len(watched.said) == 2
    watched.watch.close()
    assert len(watched.said) == 3


def test_the_same_of_another_file_is_said_at_once(watched: Watched) -> None:
    for folder in (watched.home.run, watched.home.path):
        folder.chmod(0o711)
        watched.watch.look()
    assert len(watched.said) == 2


def test_what_cannot_be_put_right_is_said(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    watched.home.run.chmod(0o755)
    monkeypatch.setattr("jupyter_audit.server.homewatch.os.chmod", refuse)
    watched.watch.look()
    assert watched.sentences == [
        f"{watched.home.run.resolve()} (mode 0755, which cannot be put right: Operation not permitted)"
    ]


@ON_LINUX
def test_the_loop_looks_at_once_and_rests_between_two_looks(watched: Watched) -> None:
    async def until(condition: Callable[[], bool]) -> float:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while not condition():
            assert loop.time() < begun + 10
            await asyncio.sleep(0.001)
        return loop.time() - begun

    async def day() -> float:
        watched.watch.follow()
        watched.home.run.chmod(0o755)
        await until(lambda: watched.mode("run") == 0o700)
        watched.home.path.chmod(0o755)
        took = await until(lambda: watched.mode("") == 0o700)
        watched.watch.close()
        await asyncio.sleep(2 * REST_S)
        return took

    assert asyncio.run(day()) > REST_S / 2
    assert len(watched.said) == 2


def test_a_runtime_folder_elsewhere_is_left_alone(tmp_path: Path) -> None:
    home = Home(tmp_path / "audit")
    home.create()
    elsewhere = tmp_path / "runtime"
    elsewhere.mkdir(mode=0o700)
    said: list[Draft] = []
    watch = HomeWatch(home, elsewhere, said.append, lambda: (), logging.getLogger("test"))
    elsewhere.chmod(0o755)
    watch.close()
    assert not said
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o755
