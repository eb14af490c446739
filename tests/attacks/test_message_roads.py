"""
Every road of messages/, in every situation. One small file there says how it is prepared and how it is tried.

A message is judged by its entry: refused and never sent on, or admitted under the grant before it ran.
"""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import pytest
import websocket
from attack_house import Attacker, Client, Team, await_mark, load, roads, touch
from support.servers import wait_for

from jupyter_audit.model import Entry

ROADS = roads("messages")


@pytest.fixture(params=ROADS)
def road(request: pytest.FixtureRequest) -> ModuleType:
    """The module of one road."""
    return load("messages", request.param)


def name_of(road: ModuleType) -> str:
    return road.__name__.removeprefix("attacks_messages_")


def refused(team: Team, road: ModuleType, kernel_id: str, msg_id: str, after: int = 0) -> Entry:
    """Return the entry that says that a message was refused."""
    wanted = "" if hasattr(road, "MALFORMED") else msg_id
    types = ("cell.refused", "message.refused")

    def find() -> Entry | None:
        entries = team.server.entries(*types, start=after)
        return next((e for e in entries if e.body["kernel_id"] == kernel_id and e.body["msg_id"] == wanted), None)

    found: Entry = wait_for(find, f"{name_of(road)} to be put down as refused")
    return found


def strike(road: ModuleType, client: Client, code: str) -> str:
    msg_id: str = road.strike(client, code)
    return msg_id


def carry_out(road: ModuleType, client: Client, code: str) -> str:
    """Prepare and try a road on a kernel that does what it is told."""
    if hasattr(road, "prepare"):
        road.prepare(client, code)
    return strike(road, client, code)


def test_it_comes_through_on_a_plain_server(road: ModuleType, plain: Attacker, kernels: Any) -> None:
    mark = plain.work / f"plain-{name_of(road)}"
    client = kernels("plain", getattr(road, "SUBPROTOCOL", None))
    if hasattr(road, "prepare"):
        road.prepare(client, touch(mark))
    assert not mark.exists(), "what prepares it leaves the mark by itself"
    strike(road, client, touch(mark))
    await_mark(mark, name_of(road))
    if hasattr(road, "clean_up"):
        road.clean_up(client)


def test_without_a_grant_it_is_refused_and_put_down(road: ModuleType, team: Team, kernels: Any) -> None:
    mark = team.server.work / f"none-{name_of(road)}"
    client = kernels("nora", getattr(road, "SUBPROTOCOL", None))
    after = team.server.reader.size()
    msg_id = strike(road, client, touch(mark))
    if hasattr(road, "NEEDS_NO_GRANT"):
        # Without a grant no cell ever ran in this kernel, so nothing in it can have been replaced.
        entry = team.server.await_entry("message.admitted", lambda e: e.body["msg_id"] == msg_id)
        assert entry.grant is None
    else:
        entry = refused(team, road, client.kernel_id, msg_id, after)
        assert entry.actor.name == "nora"
        expected = ("malformed",) if hasattr(road, "MALFORMED") else ("no_grant", getattr(road, "REFUSED", "no_grant"))
        assert entry.body["cause"] in expected
    assert not mark.exists()


def test_after_the_grant_has_ended_it_is_refused_and_put_down(road: ModuleType, team: Team, ended: Any) -> None:
    late = ended[name_of(road)]
    entry = refused(team, road, late.kernel_id, late.msg_id)
    assert entry.actor.name == "ella"
    ended = ("grant_ended", "session_ended", getattr(road, "REFUSED", "grant_ended"))
    assert entry.body["cause"] in (("malformed",) if hasattr(road, "MALFORMED") else ended)
    assert hasattr(road, "ITS_END_STRIKES_TOO") or not late.mark.exists()


def test_after_the_grant_has_run_out_by_the_clock_they_are_refused_and_put_down(team: Team, run_out: Any) -> None:
    """`ended` is a grant that somebody revoked. Here nobody does anything: the gate, and then the session's end, go by the time."""
    for name, late in run_out.late.items():
        entry = refused(team, load("messages", name), late.kernel_id, late.msg_id)
        assert (entry.actor.name, entry.grant) == ("rita", run_out.grant.id), name
        assert entry.body["cause"] in ("grant_ended", "session_ended"), name
        assert entry.time >= run_out.grant.not_after, name
    kernel_id = run_out.late["execute"].kernel_id
    ended = team.server.await_entry("session.ended", lambda e: e.body["kernel_id"] == kernel_id)
    assert (ended.body["cause"], ended.body["clean"], ended.grant) == ("expired", True, run_out.grant.id)
    assert not any(late.mark.exists() for late in run_out.late.values())


def test_with_anothers_grant_it_is_refused_and_put_down(road: ModuleType, team: Team, kernels: Any) -> None:
    """The kernel is gina's, prepared by her; otto has a live grant of his own."""
    mark = team.server.work / f"another-{name_of(road)}"
    client = kernels("gina")
    after = team.server.reader.size()
    with pytest.raises(websocket.WebSocketBadStatusException):
        carry_out(road, Client(team.person("otto"), client.kernel_id, getattr(road, "SUBPROTOCOL", None)), touch(mark))
    entry = team.server.await_entry("request.refused", lambda e: e.seq >= after and e.actor.name == "otto")
    assert (entry.body["target"], entry.body["cause"]) == ("kernels", "not_owner")
    assert client.kernel_id in str(entry.body["path"])
    assert not mark.exists()


def test_with_a_good_grant_it_runs_and_its_entry_holds_what_was_sent(road: ModuleType, team: Team, kernels: Any) -> None:
    mark = team.server.work / f"good-{name_of(road)}"
    client = kernels("gina", getattr(road, "SUBPROTOCOL", None))
    after = team.server.reader.size()
    msg_id = carry_out(road, client, touch(mark))
    if hasattr(road, "MALFORMED") or hasattr(road, "REFUSED"):
        assert refused(team, road, client.kernel_id, msg_id, after).body["cause"] == getattr(road, "REFUSED", "malformed")
        assert client.printed("print('the next one passes')")
        if hasattr(road, "clean_up"):
            road.clean_up(client)
        assert not mark.exists()
        return
    await_mark(mark, name_of(road))
    admitted: list[Entry] = wait_for(
        # An interrupt waits for no disk, so its entry may come after what it did.
        lambda: [e for e in team.server.entries("cell.admitted", "message.admitted", start=after) if e.body["msg_id"] == msg_id],
        f"{name_of(road)} to be put down",
    )
    assert [(e.actor.name, e.grant) for e in admitted] == [("gina", team.grants["gina"])]
    held = team.server.reader.content(admitted[0].seq, "message")
    assert held is not None
    if msg_id in client.sent:
        assert json.loads(held) == client.sent[msg_id]
    else:
        assert mark.name in held.decode()
    if hasattr(road, "clean_up"):
        road.clean_up(client)
