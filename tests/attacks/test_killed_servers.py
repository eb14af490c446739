"""A server that is killed, by whoever can: what ran in its kernels goes with it, and the next server says what is missing."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import websocket
from attack_house import Attacker, plain_server, team_server, touch
from support.beats import Beats
from support.processes import alive, bearing, processes_of
from support.servers import wait_for


def test_a_cell_kills_a_plain_server_and_what_it_left_goes_on(tmp_path: Path) -> None:
    beats = Beats(tmp_path / "plain-orphan-")
    with plain_server(tmp_path) as server:
        kernel = Attacker(server, "anybody", server.token, "python3", tmp_path).kernel()
        assert kernel.run(beats.code)["status"] == "ok"
        assert beats.go_on()
        kernel.execute("os.kill(os.getppid(), 9)")
        kernel.socket.settimeout(60)
        with pytest.raises((websocket.WebSocketConnectionClosedException, OSError)):
            all(iter(kernel.receive, None))
        assert beats.go_on("daemon")
    for pid in bearing(str(beats.prefix)):
        os.kill(pid, signal.SIGKILL)


def test_nothing_outlives_a_killed_server_whosever_it_was_and_the_next_one_says_so(tmp_path: Path) -> None:
    """
    nora never had a grant, rita's has ended; gina's goes on after it all, and so does otto's, who is after her kernel.

    What else the next server says of it is in tests/server/test_aftermath.py.
    """
    beats, marks = Beats(tmp_path / "work" / "gina-orphan-"), {n: tmp_path / "work" / f"{n}-orphan" for n in ("nora", "rita", "otto")}
    with team_server(tmp_path, face="server") as team:
        grant = team.grant("gina")
        team.grant("otto")
        team.grant("rita")
        team.revoke("rita")
        idle, used = team.person("nora").kernel(), team.person("gina").kernel()
        assert used.run(beats.code)["status"] == "ok"
        assert beats.go_on()
        processes = processes_of(team.server, idle.kernel_id) + processes_of(team.server, used.kernel_id)
        server = team.server.process
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
        wait_for(lambda: not bearing(str(beats.prefix)), "what gina left to be gone")
        wait_for(lambda: not any(map(alive, processes)), "the kernels to be gone")
        (team.server.home.run / "server.json").unlink()

    with team_server(tmp_path, face="server") as team:
        for kernel, name, bound in ((idle, "nora", None), (used, "gina", grant)):
            ended = team.server.await_entry("session.ended", lambda e, k=kernel: e.body["kernel_id"] == k.kernel_id)  # type: ignore[misc]
            assert (ended.actor.name, ended.body["cause"], ended.grant) == (name, "server_died", bound)
        assert team.server.await_entry("gap.recorded").body["what"] == "a server ended without saying so"
        gina = team.person("gina")
        with pytest.raises(websocket.WebSocketBadStatusException, match="404"):
            gina.kernel(used.kernel_id)
        for name in ("nora", "rita"):
            kernel = team.person(name).kernel()
            sent = kernel.execute(touch(marks[name]))
            refused = team.server.await_entry("cell.refused", lambda e, sent=sent: e.body["msg_id"] == sent)  # type: ignore[misc]
            assert (refused.actor.name, refused.body["cause"]) == (name, "no_grant")
        again = gina.kernel(gina.start_kernel(kernel_id=used.kernel_id))
        assert again.printed("print('BEATS' in globals())") == "False\n"
        admitted = team.server.await_entry("cell.admitted", lambda e: e.body["kernel_id"] == used.kernel_id and not e.body["canary"])
        assert (admitted.actor.name, admitted.grant) == ("gina", grant)
        with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
            team.person("otto").kernel(used.kernel_id).execute(touch(marks["otto"]))
        refused = team.server.await_entry("request.refused", lambda e: e.actor.name == "otto")
        assert refused.body["cause"] == "not_owner"
        assert not [name for name, mark in marks.items() if mark.exists()]
