"""A restart: another session, which takes nothing along of the one before, no grant either."""

from __future__ import annotations

import os
import signal
from typing import Any

from attack_house import Attacker, Client, Team, touch
from support.beats import Beats
from support.processes import bearing

from jupyter_audit.model import Entry


def sessions_of(team: Team, kernel: Client) -> list[str]:
    """Return the sessions that a kernel has had, the oldest first."""
    return [str(e.session) for e in team.server.entries("session.started") if e.body["kernel_id"] == kernel.kernel_id]


def restart(person: Attacker, kernel: Client) -> int:
    return person.request("POST", f"/api/kernels/{kernel.kernel_id}/restart")[0]


def refused(team: Team, msg_id: str) -> Entry:
    return team.server.await_entry("cell.refused", lambda e: e.body["msg_id"] == msg_id)


def test_on_a_plain_server_what_was_left_behind_outlives_a_restart_and_the_next_cell_runs(plain: Attacker) -> None:
    beats, kernel = Beats(plain.work / "plain-restart-"), plain.kernel()
    assert kernel.run(beats.code)["status"] == "ok"
    assert beats.go_on()
    assert restart(plain, kernel) == 200
    assert beats.go_on("daemon")
    assert plain.kernel(kernel.kernel_id).run("1")["status"] == "ok"
    for pid in bearing(str(beats.prefix)):
        os.kill(pid, signal.SIGKILL)


def test_without_a_grant_a_restart_gives_none(team: Team) -> None:
    mark, nora = team.server.work / "nora-restarted", team.person("nora")
    kernel = nora.kernel()
    assert restart(nora, kernel) == 200
    entry = refused(team, kernel.execute(touch(mark)))
    first, second = sessions_of(team, kernel)
    assert (entry.actor.name, entry.body["cause"], entry.session) == ("nora", "no_grant", second)
    ended = team.server.await_entry("session.ended", lambda e: e.session == first)
    assert (ended.body["cause"], ended.grant) == ("restart", None)
    assert not mark.exists()


def test_a_kernel_that_was_restarted_before_the_end_of_its_grant_runs_nothing_after_it(team: Team) -> None:
    """The session that the grant would have ended is over; the one that goes on has none."""
    mark, rita = team.server.work / "rita-restarted", team.person("rita")
    grant = team.grant("rita")
    kernel = rita.kernel()
    assert kernel.run("1")["status"] == "ok"
    assert restart(rita, kernel) == 200
    team.revoke("rita")
    entry = refused(team, kernel.execute(touch(mark)))
    first, second = sessions_of(team, kernel)
    assert (entry.actor.name, entry.body["cause"], entry.session, entry.grant) == ("rita", "no_grant", second, None)
    over = team.server.await_entry("session.ended", lambda e: e.session == first)
    assert (over.body["cause"], over.grant) == ("restart", grant)
    assert not mark.exists()


def test_a_kernel_that_ended_with_its_grant_cannot_be_restarted(team: Team) -> None:
    rita = team.person("rita")
    team.grant("rita")
    kernel = rita.kernel()
    assert kernel.run("1")["status"] == "ok"
    team.revoke("rita")
    team.server.await_entry("session.ended", lambda e: e.body["kernel_id"] == kernel.kernel_id)
    assert restart(rita, kernel) >= 400
    assert len(sessions_of(team, kernel)) == 1


def test_somebody_elses_kernel_is_not_restarted_and_its_session_goes_on(team: Team, kernels: Any) -> None:
    kernel, after = kernels("gina"), team.server.reader.size()
    kernel.run("kept = 'still here'")
    before = sessions_of(team, kernel)
    assert restart(team.person("otto"), kernel) == 403
    entry = team.server.await_entry("request.refused", lambda e: e.seq >= after and e.actor.name == "otto")
    assert (entry.body["cause"], entry.body["path"]) == ("not_owner", f"/api/kernels/{kernel.kernel_id}/restart")
    assert kernel.printed("print(kept)") == "still here\n"
    assert sessions_of(team, kernel) == before


def test_with_a_good_grant_the_next_cell_runs_in_another_session_and_what_the_last_one_left_is_gone(team: Team) -> None:
    beats, gina = Beats(team.server.work / "gina-restart-"), team.person("gina")
    kernel = gina.kernel()
    assert kernel.run(beats.code)["status"] == "ok"
    assert beats.go_on()
    assert restart(gina, kernel) == 200
    assert bearing(str(beats.prefix)) == []
    assert kernel.printed("print('BEATS' in globals())") == "False\n"
    sessions = sessions_of(team, kernel)
    admitted = [e for e in team.server.entries("cell.admitted") if e.body["kernel_id"] == kernel.kernel_id and not e.body["canary"]]
    assert [(e.session, e.grant) for e in admitted] == [(session, team.grants["gina"]) for session in sessions]
    gina.request("DELETE", f"/api/kernels/{kernel.kernel_id}")
