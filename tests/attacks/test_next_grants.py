"""Another grant, or another's, to go on with what one began that has ended since: with its kernel, its names, its connections."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import websocket
from attack_house import Attacker, Client, Team, touch


def test_on_a_plain_server_anybody_goes_on_with_what_anybody_began(plain: Attacker) -> None:
    kernel = plain.kernel()
    kernel.run("secret = 42")
    kernel.close()
    assert plain.kernel(kernel.kernel_id).printed("print(secret)") == "42\n"


@dataclass
class Past:
    """What is left of rita's session: its kernel's id, an open connection, and a cell that was sent when its grant had ended."""

    kernel: Client
    first: str
    second: str
    late: str
    mark: Any


@pytest.fixture(scope="module")
def past(team: Team) -> Iterator[Past]:
    """rita has two grants; the first, which her kernel was used under, ends; another process ends it, so that the gate notices."""
    first = team.grant("rita")
    kernel = team.person("rita").kernel()
    kernel.run("secret = 42")
    second = team.grant("rita")
    team.grants["rita"] = first
    team.revoke_elsewhere("rita")
    mark = team.server.work / "rita-next-grant"
    late = kernel.execute(touch(mark))
    team.grants["rita"] = second
    team.server.await_entry("session.ended", lambda e: e.body["kernel_id"] == kernel.kernel_id)
    yield Past(kernel, first, second, late, mark)
    if "rita" in team.grants:
        team.revoke("rita")


def test_a_live_grant_does_not_carry_on_the_session_of_one_that_has_ended(team: Team, past: Past) -> None:
    refused = team.server.await_entry("cell.refused", lambda e: e.body["msg_id"] == past.late)
    assert refused.body["cause"] in ("grant_ended", "session_ended")
    ended = team.server.await_entry("session.ended", lambda e: e.body["kernel_id"] == past.kernel.kernel_id)
    assert (ended.body["cause"], ended.grant) == ("revoked", past.first)
    assert not past.mark.exists()


def test_with_another_good_grant_one_begins_anew_and_that_is_put_down_under_it(team: Team, past: Past) -> None:
    rita = team.person("rita")
    with pytest.raises(websocket.WebSocketBadStatusException, match="404"):
        rita.kernel(past.kernel.kernel_id)
    kernel = rita.kernel()
    assert kernel.printed("print('secret' in globals())") == "False\n"
    bound = team.server.await_entry("session.bound", lambda e: e.body["kernel_id"] == kernel.kernel_id)
    assert (bound.actor.name, bound.grant) == ("rita", past.second)
    team.revoke("rita")


@pytest.mark.parametrize("name", ["nora", "rita", "otto"])
def test_a_kernel_under_the_id_of_one_that_has_ended_is_an_empty_one_of_its_own(
    team: Team, past: Past, name: str
) -> None:
    """nora never had a grant, rita's second one has ended as well by now, otto has one of his own."""
    person, after = team.person(name), team.server.reader.size()
    if name == "rita" and "rita" in team.grants:
        team.revoke("rita")
    kernel = person.kernel(person.start_kernel(kernel_id=past.kernel.kernel_id))
    assert kernel.kernel_id == past.kernel.kernel_id
    cell = kernel.execute("print('secret' in globals())")
    if name == "otto":
        said = kernel.wait(cell)
        assert [m["content"]["text"] for m in said if m["header"]["msg_type"] == "stream"] == ["False\n"]
        admitted = team.server.await_entry("cell.admitted", lambda e: e.body["msg_id"] == cell)
        assert (admitted.actor.name, admitted.grant) == ("otto", team.grants["otto"])
    else:
        refused = team.server.await_entry("cell.refused", lambda e: e.body["msg_id"] == cell)
        assert (refused.actor.name, refused.body["cause"]) == (name, "no_grant")
    started = team.server.await_entry("session.started", lambda e: e.body["kernel_id"] == kernel.kernel_id)
    assert (started.seq >= after, started.actor.name) == (True, name)
    assert person.request("DELETE", f"/api/kernels/{kernel.kernel_id}")[0] == 204
    team.server.await_entry("session.ended", lambda e: e.session == started.session)
