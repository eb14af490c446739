"""
What a cell started and left behind: a thread, an asyncio task, a child, and a daemon that forked twice.

Under a grant it may go on after its cell. When the grant ends it ends, on every rung (tests/isolation/test_probes.py).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from attack_house import Attacker, Client, Team
from support.beats import Beats
from support.processes import bearing
from support.servers import wait_for


def test_on_a_plain_server_it_outlives_its_cell_and_a_daemon_the_kernel(plain: Attacker) -> None:
    beats = Beats(plain.work / "plain-stays-")
    kernel = plain.kernel()
    assert kernel.run(beats.code)["status"] == "ok"
    assert beats.go_on()
    assert plain.request("DELETE", f"/api/kernels/{kernel.kernel_id}")[0] == 204
    assert beats.go_on("daemon")
    for pid in bearing(str(beats.prefix)):
        os.kill(pid, signal.SIGKILL)


def test_without_a_grant_nothing_is_begun_that_could_stay(team: Team, kernels: Any) -> None:
    beats, kernel = Beats(team.server.work / "nora-stays-"), kernels("nora")
    sent = kernel.execute(beats.code)
    refused = team.server.await_entry("cell.refused", lambda e: e.body["msg_id"] == sent)
    assert (refused.actor.name, refused.body["cause"]) == ("nora", "no_grant")
    assert beats.heard() == set()
    assert bearing(str(beats.prefix)) == []


@dataclass
class Scene:
    """What rita, whose grant has ended since, and otto, whose grant has not, have left behind; each in a kernel of their own."""

    rita: Beats
    otto: Beats
    kernel: Client
    grant: str


@pytest.fixture(scope="module")
def scene(team: Team, kernels: Any) -> Iterator[Scene]:
    grant = team.grant("rita")
    kernel = team.person("rita").kernel()
    scene = Scene(Beats(team.server.work / "rita-stays-"), Beats(team.server.work / "otto-stays-"), kernel, grant)
    for beats, of in ((scene.rita, kernel), (scene.otto, kernels("otto"))):
        assert of.run(beats.code)["status"] == "ok"
        assert beats.go_on()
    team.revoke("rita")
    yield scene
    scene.otto.stop()
    wait_for(lambda: bearing(str(scene.otto.prefix)) == [], "what otto left to be gone")


def test_after_the_end_of_the_grant_none_of_it_is_left(team: Team, scene: Scene) -> None:
    ended = team.server.await_entry("session.ended", lambda e: e.body["kernel_id"] == scene.kernel.kernel_id)
    assert (ended.grant, ended.body["cause"], ended.body["clean"]) == (scene.grant, "revoked", True)
    # A child may have gone by the interrupt that a kernel gets first; a daemon hears nothing of that.
    assert ended.body["processes"] >= 1  # type: ignore[operator]
    assert bearing(str(scene.rita.prefix)) == []
    scene.rita.take_away()
    # What lived on would put its files back as fast as otto's.
    assert all(scene.otto.go_on() for _ in range(3))
    assert scene.rita.heard() == set()


def test_somebody_elses_grant_neither_keeps_it_nor_ends_with_it(team: Team, scene: Scene) -> None:
    """otto's has not ended: what he left goes on, and does nothing for what rita left."""
    team.server.await_entry("session.ended", lambda e: e.body["kernel_id"] == scene.kernel.kernel_id)
    assert len(bearing(str(scene.otto.prefix))) == 2
    assert bearing(str(scene.rita.prefix)) == []
    assert scene.otto.go_on()
