"""The message table is complete, and each of its rows is what a running server does."""

from __future__ import annotations

from typing import Any

import pytest
from attack_house import Client, Team
from ipykernel.comm.manager import CommManager
from ipykernel.debugger import Debugger
from ipykernel.kernelbase import Kernel
from support.servers import reply_of, wait_for

from jupyter_audit.gate.messages import CONTROL, DEBUG_COMMANDS, MESSAGES
from jupyter_audit.model import Entry

GRANTED = [rule.msg_type for rule in MESSAGES.values() if rule.channels and rule.needs_grant]
FREE = [rule.msg_type for rule in MESSAGES.values() if rule.channels and not rule.needs_grant]
NEVER = [rule.msg_type for rule in MESSAGES.values() if not rule.channels]
CONTENTS = {"delete_subshell_request": {"subshell_id": "none"}}


def entry_of(team: Team, msg_id: str) -> Entry:
    """Return the entry that a message became."""
    types = ("cell.admitted", "cell.refused", "message.admitted", "message.refused")

    def find() -> Entry | None:
        return next((e for e in team.server.entries(*types, newest_first=True) if e.body["msg_id"] == msg_id), None)

    found: Entry = wait_for(find, "the message to be put down")
    return found


def send(client: Client, msg_type: str, **content: Any) -> str:
    channels = sorted(MESSAGES[msg_type].channels) or ["control"]
    return client.send(msg_type, content or CONTENTS.get(msg_type, {}), channel=channels[-1])


def test_every_type_that_ipykernel_serves_has_a_row() -> None:
    comms = {name for name in ("comm_open", "comm_msg", "comm_close") if hasattr(CommManager, name)}
    assert len(comms) == 3
    assert {*Kernel.msg_types, *Kernel.control_msg_types, *comms, "input_reply"} <= set(MESSAGES)


def test_every_command_that_ipykernels_debugger_serves_itself_has_a_row() -> None:
    assert {*Debugger.started_debug_msg_types, *Debugger.static_debug_msg_types} <= set(DEBUG_COMMANDS)


@pytest.mark.parametrize("msg_type", GRANTED)
def test_every_type_that_needs_a_grant_is_refused_without_one(team: Team, kernels: Any, msg_type: str) -> None:
    entry = entry_of(team, send(kernels("nora"), msg_type))
    assert (entry.type, entry.actor.name, entry.grant) == (MESSAGES[msg_type].refused_as, "nora", None)
    assert entry.body["cause"] == ("unknown_command" if msg_type == "debug_request" else "no_grant")


@pytest.mark.parametrize("msg_type", FREE)
def test_what_runs_nothing_passes_without_a_grant_and_is_put_down(team: Team, kernels: Any, msg_type: str) -> None:
    entry = entry_of(team, send(kernels("nora"), msg_type))
    assert (entry.type, entry.actor.name, entry.grant) == (MESSAGES[msg_type].admitted_as, "nora", None)


@pytest.mark.parametrize("msg_type", NEVER)
def test_what_is_never_passed_on_is_refused_with_a_good_grant_too(team: Team, kernels: Any, msg_type: str) -> None:
    client = kernels("gina")
    entry = entry_of(team, send(client, msg_type))
    assert (entry.type, entry.body["cause"]) == ("message.refused", "never_passed")
    assert client.printed("print('still here')") == "still here\n"


@pytest.mark.parametrize("msg_type", ["connect_request", "shutdown_request"])
def test_a_plain_server_passes_on_what_is_never_passed_on_here(plain: Any, msg_type: str) -> None:
    client = plain.kernel()
    client.send(msg_type, {"restart": False}, channel="control")
    while client.receive()["header"]["msg_type"] != msg_type.replace("request", "reply"):
        pass


@pytest.mark.parametrize("command", DEBUG_COMMANDS)
def test_every_command_of_the_debugger_needs_a_grant(team: Team, kernels: Any, command: str) -> None:
    client = kernels("nora")
    msg_id = client.send("debug_request", {"type": "request", "seq": 1, "command": command, "arguments": {}}, channel=CONTROL)
    entry = entry_of(team, msg_id)
    assert (entry.type, entry.body["cause"]) == ("message.refused", "no_grant")
    assert reply_of(client.wait(msg_id))["success"] is False


@pytest.mark.parametrize("command", ["launch", "runInTerminal", "pydevdSystemInfo", "", None, ["evaluate"]])
def test_a_command_that_nobody_knows_is_refused_with_a_good_grant_too(team: Team, kernels: Any, command: Any) -> None:
    client = kernels("gina")
    entry = entry_of(team, client.send("debug_request", {"type": "request", "seq": 1, "command": command}, channel=CONTROL))
    assert (entry.type, entry.body["cause"]) == ("message.refused", "unknown_command")
