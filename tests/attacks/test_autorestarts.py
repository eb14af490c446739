"""A kernel that died is started again by itself, past what starts kernels for people: another session, which has no grant yet."""

from __future__ import annotations

import signal

import pytest
import websocket
from attack_house import Attacker, Client, Team, touch
from support.processes import processes_of
from support.servers import wait_for
from test_restarts import refused, sessions_of


def kill(team: Team, kernel: Client) -> None:
    """Kill a kernel from outside, as the system does when it runs out of memory."""
    [process] = [p for p in processes_of(team.server, kernel.kernel_id) if "jupyter_audit_kernel" in p.cmdline()[3:5]]
    process.send_signal(signal.SIGKILL)


def await_return(team: Team, kernel: Client) -> list[str]:
    """Return a kernel's two sessions once the second has begun."""
    found: list[str] = wait_for(lambda: s if len(s := sessions_of(team, kernel)) == 2 else None, "the kernel to come back")
    died = team.server.await_entry("session.ended", lambda e: e.session == found[0])
    assert (died.body["cause"], died.body["clean"]) == ("died", True)
    return found


def test_on_a_plain_server_it_comes_back_and_the_next_cell_runs(plain: Attacker) -> None:
    mark, kernel = plain.work / "plain-came-back", plain.kernel()
    kernel.execute("import os; os._exit(3)")
    while kernel.receive()["content"].get("execution_state") != "restarting":
        pass

    def ran() -> bool:
        # Again and again: a plain server loses what is sent while the kernel is on its way.
        kernel.execute(touch(mark))
        return mark.exists()

    assert wait_for(ran, "a cell in the kernel that came back")


def test_without_a_grant_what_comes_back_runs_nothing(team: Team) -> None:
    mark, kernel = team.server.work / "nora-came-back", team.person("nora").kernel()
    kill(team, kernel)
    _, second = await_return(team, kernel)
    entry = refused(team, kernel.execute(touch(mark)))
    assert (entry.actor.name, entry.body["cause"], entry.session) == ("nora", "no_grant", second)
    assert not mark.exists()


def test_after_the_end_of_the_grant_nothing_comes_back_and_what_had_come_before_runs_nothing(team: Team) -> None:
    mark, rita = team.server.work / "rita-came-back", team.person("rita")
    grant = team.grant("rita")
    closed, died = rita.kernel(), rita.kernel()
    assert closed.run("1")["status"] == "ok"
    died.execute("import os; os._exit(3)")
    first, second = await_return(team, died)
    assert team.server.await_entry("session.ended", lambda e: e.session == first).grant == grant
    team.revoke("rita")
    team.server.await_entry("session.ended", lambda e: e.body["kernel_id"] == closed.kernel_id)
    entry = refused(team, died.execute(touch(mark)))
    assert (entry.body["cause"], entry.session, entry.grant) == ("no_grant", second, None)
    # Whoever looks for dead kernels has been round all of them when this one is back.
    kill(team, died)
    wait_for(lambda: len(sessions_of(team, died)) == 3, "the other kernel to come back again")
    assert len(sessions_of(team, closed)) == 1
    assert rita.request("GET", f"/api/kernels/{closed.kernel_id}")[0] == 404
    assert not mark.exists()


def test_with_a_good_grant_it_comes_back_empty_to_its_owner_alone(team: Team) -> None:
    gina = team.person("gina")
    kernel = gina.kernel()
    kernel.execute("import os; lost = 1; os._exit(3)")
    sessions = await_return(team, kernel)
    assert kernel.printed("print('lost' in globals())") == "False\n"
    admitted = [e for e in team.server.entries("cell.admitted") if e.body["kernel_id"] == kernel.kernel_id and not e.body["canary"]]
    assert [(e.session, e.grant) for e in admitted] == [(session, team.grants["gina"]) for session in sessions]
    gina.request("DELETE", f"/api/kernels/{kernel.kernel_id}")


def test_somebody_else_does_not_get_what_came_back(team: Team) -> None:
    mark, gina = team.server.work / "otto-came-back", team.person("gina")
    kernel = gina.kernel()
    kill(team, kernel)
    _, second = await_return(team, kernel)
    after = team.server.reader.size()
    with pytest.raises(websocket.WebSocketBadStatusException):
        team.person("otto").kernel(kernel.kernel_id).execute(touch(mark))
    entry = team.server.await_entry("request.refused", lambda e: e.seq >= after and e.actor.name == "otto")
    assert entry.body["cause"] == "not_owner"
    assert team.server.await_entry("session.started", lambda e: e.session == second).actor.name == "gina"
    assert not mark.exists()
    gina.request("DELETE", f"/api/kernels/{kernel.kernel_id}")
