"""A debugger that has stopped in a cell: what it assigns, copies and shows then runs code of whoever asks, or of what is shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from attack_house import Attacker, Client, Team, ask_debugger, await_mark, touch
from support.servers import reply_of, wait_for

STOPPING = """
class Shown:
    def __init__(self, mark): self.mark = mark
    def __repr__(self):
        open(self.mark, "w").close()
        return "shown"
def stops(given, copied, rich, listed):
    set_before = 1
    return set_before
stops(1, Shown({copied!r}), Shown({rich!r}), Shown({listed!r}))
"""
LINE = STOPPING.split("\n").index("    return set_before") + 1
INITIALIZE = {"clientID": "x", "adapterID": "x", "pathFormat": "path", "linesStartAt1": True, "columnsStartAt1": True,
              "supportsVariableType": True}  # fmt: skip

Strike = Callable[[Client, int, int, Path], str]
STRIKES: dict[str, Strike] = {
    "setExpression": lambda client, frame, _, mark: ask_debugger(
        client, "setExpression", frameId=frame, expression="given", value=run(mark)),
    "setVariable": lambda client, _, scope, mark: ask_debugger(
        client, "setVariable", variablesReference=scope, name="given", value=run(mark)),
    "copyToGlobals": lambda client, frame, _, mark: ask_debugger(
        client, "copyToGlobals", srcFrameId=frame, srcVariableName="copied", dstVariableName="taken"),
    "richInspectVariables": lambda client, frame, _, mark: ask_debugger(
        client, "richInspectVariables", frameId=frame, variableName="rich"),
    "variables": lambda client, _, scope, mark: ask_debugger(
        client, "variables", variablesReference=scope, format={"hex": True}),
}  # fmt: skip
"""Command → how it is sent to a debugger that stopped in a frame, with the scope of its locals. `variables`, which shows all, is last."""


def run(mark: Path) -> str:
    return f"exec({touch(mark)!r})"


def marks_in(folder: Path, who: str) -> dict[str, Path]:
    return {command: folder / f"stopped-{who}-{command}" for command in STRIKES}


def stop(client: Client, marks: dict[str, Path]) -> tuple[int, int]:
    """Have the debugger stop in a cell; return its frame, and the scope of what is local there."""

    def ask(command: str, **arguments: object) -> Any:
        answer = reply_of(client.wait(ask_debugger(client, command, **arguments)))
        assert answer["success"], answer
        return answer.get("body") or {}

    ask("initialize", **INITIALIZE)
    ask("attach", justMyCode=False)
    code = STOPPING.format(copied=str(marks["copyToGlobals"]), rich=str(marks["richInspectVariables"]), listed=str(marks["variables"]))
    path = ask("dumpCell", code=code)["sourcePath"]
    ask("setBreakpoints", breakpoints=[{"line": LINE}], source={"path": path}, sourceModified=False)
    ask("configurationDone")
    client.execute(code)
    while (told := client.receive())["header"]["msg_type"] != "debug_event" or told["content"].get("event") != "stopped":
        pass
    frame = ask("stackTrace", threadId=told["content"]["body"]["threadId"])["stackFrames"][0]
    assert frame["name"] == "stops"
    scope = next(scope for scope in ask("scopes", frameId=frame["id"])["scopes"] if scope["name"] == "Locals")
    assert not any(mark.exists() for mark in marks.values()), "what prepares it leaves a mark by itself"
    return int(frame["id"]), int(scope["variablesReference"])


def strike_all(client: Client, marks: dict[str, Path], frame: int, scope: int) -> dict[str, str]:
    """Send every command; return the ids of the messages, once what they leave is there."""
    sent = {}
    for command, strike in STRIKES.items():
        sent[command] = strike(client, frame, scope, marks[command])
        await_mark(marks[command], command)
    return sent


def test_on_a_plain_server_a_debugger_that_has_stopped_runs_what_it_is_asked_for(plain: Attacker) -> None:
    client, marks = plain.kernel(), marks_in(plain.work, "plain")
    strike_all(client, marks, *stop(client, marks))


def test_with_a_good_grant_it_does_and_each_command_is_put_down_before(team: Team) -> None:
    client, marks = team.person("gina").kernel(), marks_in(team.server.work, "good")
    sent = strike_all(client, marks, *stop(client, marks))
    for command, msg_id in sent.items():
        admitted = team.server.await_entry("message.admitted", lambda e, msg_id=msg_id: e.body["msg_id"] == msg_id)
        assert (admitted.actor.name, admitted.grant) == ("gina", team.grants["gina"])
        held = team.server.reader.content(admitted.seq, "message")
        assert held is not None
        assert command.encode() in held


def test_after_the_grant_has_ended_no_command_of_a_stopped_debugger_passes(team: Team) -> None:
    """Ended by another process, so that the messages meet the gate and not a kernel that is gone."""
    grant = team.grant("rita")
    client, marks = team.person("rita").kernel(), marks_in(team.server.work, "ended")
    frame, scope = stop(client, marks)
    team.revoke_elsewhere("rita")
    sent = {strike(client, frame, scope, marks[command]): command for command, strike in STRIKES.items()}

    def refusals() -> dict[str, Any] | None:
        found = {e.body["msg_id"]: e for e in team.server.entries("message.refused") if e.body["msg_id"] in sent}
        return found if len(found) == len(sent) else None

    for entry in wait_for(refusals, "every command to be put down as refused").values():
        assert (entry.actor.name, entry.grant) == ("rita", grant)
        assert entry.body["cause"] in ("grant_ended", "session_ended")
    ended = team.server.await_entry("session.ended", lambda e: e.body["kernel_id"] == client.kernel_id)
    assert (ended.body["cause"], ended.body["clean"]) == ("revoked", True)
    assert not any(mark.exists() for mark in marks.values())
