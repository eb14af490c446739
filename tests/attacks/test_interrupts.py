"""
Interrupts over REST, as JupyterLab's button asks for them: a signal runs what an earlier cell has put in its place.

The message that does the same is a road of messages/ (interrupt.py).
"""

from __future__ import annotations

from typing import Any

from attack_house import Attacker, Client, Team, await_mark, load, touch
from support.servers import wait_for

from jupyter_audit.model import Entry

ROAD = load("messages", "interrupt")


def interrupt(person: Attacker, client: Client) -> tuple[int, Any]:
    return person.request("POST", f"/api/kernels/{client.kernel_id}/interrupt")


def entry_of(team: Team, kind: str, client: Client, after: int) -> Entry:
    found: Entry = team.server.await_entry(
        kind, lambda e: e.seq >= after and (e.body["kernel_id"], e.body["msg_type"]) == (client.kernel_id, "interrupt_request")
    )
    return found


def test_on_a_plain_server_an_interrupt_runs_what_a_cell_has_put_there(plain: Attacker, kernels: Any) -> None:
    mark, client = plain.work / "plain-interrupt-by-request", kernels("plain")
    ROAD.prepare(client, touch(mark))
    assert interrupt(plain, client)[0] == 204
    await_mark(mark, "an interrupt's code")
    ROAD.clean_up(client)


def test_without_a_grant_there_is_nothing_to_run_and_the_interrupt_is_put_down(team: Team, kernels: Any) -> None:
    client, after = kernels("nora"), team.server.reader.size()
    assert interrupt(team.person("nora"), client)[0] == 204
    entry = entry_of(team, "message.admitted", client, after)
    assert (entry.actor.name, entry.grant, entry.body["msg_id"]) == ("nora", None, "")


def test_after_the_grant_has_ended_an_interrupt_is_refused_and_put_down(team: Team) -> None:
    mark, after = team.server.work / "ended-interrupt-by-request", team.server.reader.size()
    rita = team.person("rita")

    def late() -> Client | None:
        """Interrupt a kernel between the end of its grant and its own; return None if that came first."""
        team.grant("rita")
        client = rita.kernel()
        mark.unlink(missing_ok=True)
        ROAD.prepare(client, f"print('x', file=open({str(mark)!r}, 'a'))")
        team.revoke_elsewhere("rita")
        status, answer = interrupt(rita, client)
        assert status in (403, 404), answer
        assert status == 404 or "has ended. Ask for a new" in answer["message"], answer
        return client if status == 403 else None

    client = wait_for(late, "an interrupt to meet the gate, and not a kernel that is gone")
    entry = entry_of(team, "message.refused", client, after)
    assert entry.actor.name == "rita"
    assert entry.body["cause"] in ("grant_ended", "session_ended")
    team.server.await_entry("session.ended", lambda e: e.body["kernel_id"] == client.kernel_id)
    # The server's own interrupt, as it ends the session, is no request's.
    assert not mark.exists() or mark.read_text() == "x\n"


def test_with_a_good_grant_it_interrupts_and_is_put_down_under_the_grant(team: Team, kernels: Any) -> None:
    mark, client, after = team.server.work / "good-interrupt-by-request", kernels("gina"), team.server.reader.size()
    ROAD.prepare(client, touch(mark))
    assert interrupt(team.person("gina"), client)[0] == 204
    await_mark(mark, "an interrupt's code")
    entry = entry_of(team, "message.admitted", client, after)
    assert (entry.actor.name, entry.grant) == ("gina", team.grants["gina"])
    ROAD.clean_up(client)
