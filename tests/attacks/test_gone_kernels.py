"""Messages to a kernel that has no session: its life is over, or nobody ever began it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attack_house import Attacker, Team, await_mark, touch


def test_a_socket_outlives_the_death_of_a_plain_kernel_and_its_messages_run(plain: Attacker) -> None:
    mark = plain.work / "plain-after-death"
    kernel = plain.kernel()
    assert plain.request("POST", f"/api/kernels/{kernel.kernel_id}/restart")[0] == 200
    kernel.execute(touch(mark))
    await_mark(mark, "a cell on the old socket")


@pytest.mark.parametrize("name", ["nora", "ella", "otto", "gina"])
def test_a_message_to_a_kernel_without_a_session_is_refused_and_put_down(team: Team, name: str, ended: Any) -> None:
    mark = team.server.work / f"gone-{name}"
    person = team.person(name)
    kernel = person.kernel()
    assert person.request("DELETE", f"/api/kernels/{kernel.kernel_id}")[0] == 204
    team.server.await_entry("session.ended", lambda e: e.body["kernel_id"] == kernel.kernel_id)
    sent = [kernel.execute(touch(mark)), kernel.send("input_reply", {"value": "hunter2"}, channel="stdin")]
    cell = team.server.await_entry("cell.refused", lambda e: e.body["msg_id"] == sent[0])
    assert (cell.actor.name, cell.body["cause"], cell.session) == (name, "session_ended", None)
    answer = team.server.await_entry("message.refused", lambda e: e.body["msg_id"] == sent[1])
    held = team.server.reader.content(answer.seq, "message")
    assert "hunter2" not in json.dumps((held or b"").decode())
    assert not mark.exists()


def test_what_does_not_parse_is_put_down_too_when_the_kernel_has_no_session(team: Team) -> None:
    person = team.person("gina")
    kernel = person.kernel()
    assert person.request("DELETE", f"/api/kernels/{kernel.kernel_id}")[0] == 204
    team.server.await_entry("session.ended", lambda e: e.body["kernel_id"] == kernel.kernel_id)
    kernel.socket.send("not json")
    refused = team.server.await_entry("message.refused", lambda e: e.body["kernel_id"] == kernel.kernel_id)
    assert (refused.actor.name, refused.body["cause"], refused.session) == ("gina", "malformed", None)


def test_somebody_elses_connection_to_a_gone_kernel_neither_runs_nor_hears_anything_in_the_next_one_of_its_id(team: Team) -> None:
    """gina's is still open when otto starts a kernel under that id, and both have good grants."""
    mark, gina, otto = team.server.work / "gone-another", team.person("gina"), team.person("otto")
    kernel = gina.kernel()
    assert gina.request("DELETE", f"/api/kernels/{kernel.kernel_id}")[0] == 204
    team.server.await_entry("session.ended", lambda e: e.body["kernel_id"] == kernel.kernel_id)
    sent = kernel.execute(touch(mark))
    refused = team.server.await_entry("cell.refused", lambda e: e.body["msg_id"] == sent)
    assert (refused.actor.name, refused.body["cause"], refused.session) == ("gina", "session_ended", None)
    next_one = otto.kernel(otto.start_kernel(kernel_id=kernel.kernel_id))
    cell = next_one.execute("print('for otto alone')")
    next_one.wait(cell)
    # She was sent away when it started, so all that she was ever sent can be read here.
    heard = []
    while raw := kernel.socket.recv():
        heard.append(str(raw))
    assert heard
    assert not [message for message in heard if "otto" in message or cell in message]
    assert not mark.exists()
    assert otto.request("DELETE", f"/api/kernels/{kernel.kernel_id}")[0] == 204
