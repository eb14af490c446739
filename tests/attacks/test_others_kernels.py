"""Somebody else's kernel, by its websocket: to use it, or as who may only watch."""

from __future__ import annotations

from typing import Any

import pytest
import websocket
from attack_house import Attacker, Client, Team, await_mark, cell, touch
from support.servers import V1, wait_for


def test_on_a_plain_server_who_watches_a_kernel_sees_what_is_in_it_and_runs_code(plain: Attacker, kernels: Any) -> None:
    mark, owner = plain.work / "plain-others-kernel", kernels("plain")
    watcher = plain.kernel(owner.kernel_id)
    owner.run(f"mark = {str(mark)!r}; print('seen')")
    while not any(m["content"].get("text") == "seen\n" for m in watcher.heard):
        watcher.receive()
    watcher.run("open(mark, 'w').close()")
    await_mark(mark, "a cell of who watched")


@pytest.mark.parametrize("name", ["nora", "rita", "otto", "gina"])
def test_the_websocket_of_somebody_elses_kernel_opens_to_no_grant_and_the_attempt_is_put_down(
    team: Team, kernels: Any, name: str
) -> None:
    victim = kernels("otto" if name == "gina" else "gina")
    if name == "rita":
        team.grant(name)
        team.revoke(name)
    after = team.server.reader.size()
    for subprotocol in (None, V1):
        with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
            # Under the owner's own session id, too, which would take their connection's place.
            Client(team.person(name), victim.kernel_id, subprotocol, session=victim.session)  # type: ignore[arg-type]
    wait_for(lambda: len(team.server.entries("request.refused", start=after)) == 2, "both attempts to be put down")
    refused = team.server.entries("request.refused", start=after)
    assert [(e.actor.name, e.body["target"], e.body["cause"]) for e in refused] == [(name, "kernels", "not_owner")] * 2
    assert all(victim.kernel_id in str(e.body["path"]) for e in refused)
    assert victim.printed("print('undisturbed')") == "undisturbed\n"


@pytest.mark.parametrize(("name", "grant"), [("vera", "none"), ("will", "ended"), ("will", "live")], ids=["none", "ended", "live"])
def test_what_an_observer_sends_is_refused_and_put_down_whatever_grants_they_have(
    team: Team, kernels: Any, name: str, grant: str
) -> None:
    if grant != "none":
        team.grant(name)
    if grant == "ended":
        team.revoke(name)
    mark, owner, person = team.server.work / f"observer-{grant}", kernels("gina"), team.person(name)
    after = team.server.reader.size()
    observers = [person.kernel(owner.kernel_id, subprotocol) for subprotocol in (None, V1)]
    watched = team.server.await_entry("session.watched", lambda e: e.seq >= after and e.actor.name == name)
    assert watched.body["owner"] == "gina"
    running = owner.execute("import time\nfor _ in range(10): time.sleep(0.05)\nprint('undisturbed')")
    sent = []
    for observer in observers:
        sent += [
            observer.send("execute_request", cell(touch(mark))),
            observer.send("execute_request", cell(touch(mark), silent=True), channel="control"),
            observer.send("input_reply", {"value": touch(mark)}, channel="stdin"),
            observer.send("interrupt_request", {}, channel="control"),
        ]
    observers[0].socket.send("no message at all")
    observers[0].wait(observers[0].execute(touch(mark)))
    assert person.request("POST", f"/api/kernels/{owner.kernel_id}/interrupt")[0] == 403
    team.server.await_entry("request.refused", lambda e: e.seq >= after and e.actor.name == name)
    for msg_id in [*sent, ""]:
        kind = "cell.refused" if msg_id in sent and sent.index(msg_id) % 4 < 2 else "message.refused"
        entry = team.server.await_entry(kind, lambda e: e.seq >= after and e.body["msg_id"] == msg_id)  # noqa: B023
        assert (entry.actor.name, entry.session) == (name, watched.session)
        assert entry.body["cause"] == ("not_owner" if msg_id else "malformed")
    shown = owner.wait(running)
    assert [m["content"]["text"] for m in shown if m["header"]["msg_type"] == "stream"] == ["undisturbed\n"]
    assert not mark.exists()
    for observer in observers:
        observer.close()
    if grant == "live":
        team.revoke(name)
