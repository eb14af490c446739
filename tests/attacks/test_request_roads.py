"""
Every road of requests/, in every situation: over HTTP, or by a websocket that is no kernel's.

None of these is open to anybody on an audited server, so a good grant does not help either; what it is for goes on
through the gate. A refusal is judged by its entry, and by the mark that the attack would have left.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from attack_house import Attacker, Team, load, roads

ROADS = roads("requests")
SITUATIONS = {"without a grant": "nora", "after it has ended": "ella", "with another's": "otto", "with a good one": "gina"}


@pytest.fixture(params=ROADS)
def road(request: pytest.FixtureRequest) -> ModuleType:
    """The module of one road."""
    return load("requests", request.param)


def name_of(road: ModuleType) -> str:
    return road.__name__.removeprefix("attacks_requests_")


def needs_of(road: ModuleType, **kernels: Callable[[], str]) -> dict[str, str]:
    """Return the kernels that a road needs besides: one of the attacker's own, one of somebody else's."""
    return {name: kernels[name]() for name in getattr(road, "NEEDS", ())}


def test_it_comes_through_on_a_plain_server(road: ModuleType, plain: Attacker) -> None:
    assert road.strike(plain, plain.work / f"plain-{name_of(road)}", **needs_of(road, own=plain.start_kernel, victim=plain.start_kernel))


@pytest.mark.parametrize("situation", SITUATIONS)
def test_it_is_refused_and_put_down(
    road: ModuleType, situation: str, team: Team, kernels: Any, request: pytest.FixtureRequest
) -> None:
    name = SITUATIONS[situation]
    if situation == "after it has ended":
        request.getfixturevalue("ended")
    mark = team.server.work / f"{name}-{name_of(road)}"
    other = "gina" if name != "gina" else "nora"
    needs = needs_of(road, own=lambda: kernels(name).kernel_id, victim=lambda: kernels(other).kernel_id)
    after = team.server.reader.size()
    assert not road.strike(team.person(name), mark, **needs)
    entry = team.server.await_entry("request.refused", lambda e: e.seq >= after and e.actor.name == name)
    assert entry.body["cause"] in road.CAUSES
    assert not mark.exists()


def test_what_is_only_read_is_put_down_once_and_a_stranger_not_at_all(team: Team) -> None:
    """A page that polls must not fill the ledger, and nobody without a login may."""
    after = team.server.reader.size()
    nora = team.person("nora")
    assert [nora.request("GET", "/metrics")[0] for _ in range(3)] == [403] * 3
    assert nora.request("POST", "/api/terminals", {}, token="")[0] == 403
    assert nora.request("POST", "/api/terminals", {})[0] == 404
    team.server.await_entry("request.refused", lambda e: e.seq >= after and e.body["path"] == "/api/terminals")
    refused = [(e.actor.name, e.body["method"], e.body["path"]) for e in team.server.entries("request.refused", start=after)]
    assert refused == [("nora", "GET", "/metrics"), ("nora", "POST", "/api/terminals")]
