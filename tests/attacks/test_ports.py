"""
The kernel's own ports, with its connection file in hand: what `jupyter console --existing` does, and an insider.

The server sees nothing of these messages. The kernel refuses what carries no permit, says so, and the session ends.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from attack_house import Attacker, Client, Team, await_mark, cell, touch
from jupyter_audit_kernel.formats import PERMIT_KEY
from jupyter_client.blocking.client import BlockingKernelClient
from support.servers import reply_of

Message = dict[str, Any]


@contextmanager
def at_the_ports(connection_file: Path) -> Iterator[BlockingKernelClient]:
    """A client that talks to a kernel directly."""
    client = BlockingKernelClient(connection_file=str(connection_file))
    client.load_connection_file()
    client.start_channels()
    yield client
    client.stop_channels()


def session_of(team: Team, kernel: Client) -> str:
    """Return a kernel's newest session."""
    return str(team.server.await_entry("session.started", lambda e: e.body["kernel_id"] == kernel.kernel_id).session)


def connection_file(team: Team, kernel: Client) -> Path:
    """Return the file that only the server's account can read."""
    return team.server.home.run / "sessions" / session_of(team, kernel) / "connection.json"


def attempt_is_an_entry_and_a_finding(team: Team, kernel: Client, cause: str) -> None:
    """Fail unless the ledger holds the kernel's report, a finding, and the session's end."""
    report = team.server.await_entry("kernel.report", lambda e: e.body["kernel_id"] == kernel.kernel_id)
    detail: Any = report.body["detail"]
    assert (report.body["report"], detail["cause"]) == ("permit_refused", cause)
    # At night there is a finding about the hour besides.
    finding = team.server.await_entry(
        "finding.raised", lambda e: e.session == report.session and e.body["rule"] == "foreign-code"
    )
    assert finding.body["level"] == "critical"
    ended = team.server.await_entry("session.ended", lambda e: e.session == report.session)
    assert (ended.body["cause"], ended.body["clean"]) == ("foreign_code", True)
    findings = [e for e in team.server.entries("finding.raised") if e.session == report.session]
    assert len([e for e in findings if e.body["rule"] == "foreign-code"]) == 1


def test_whoever_has_the_connection_file_runs_code_in_a_plain_kernel(plain: Attacker) -> None:
    mark = plain.work / "plain-ports"
    kernel = plain.kernel()
    with at_the_ports(plain.server.runtime / f"kernel-{kernel.kernel_id}.json") as client:
        client.execute(touch(mark), silent=True)
        await_mark(mark, "a cell at the ports")


@pytest.mark.parametrize("name", ["nora", "ella", "otto", "gina"])
def test_a_message_at_the_ports_is_refused_whatever_grants_there_are(
    team: Team, name: str, ended: Any, request: pytest.FixtureRequest
) -> None:
    """Without a grant, after it has ended, and with good ones: the kernel asks for a permit, not for a grant."""
    mark = team.server.work / f"ports-{name}"
    kernel = team.person(name).kernel()
    if name in team.grants:
        kernel.run("1")
    with at_the_ports(connection_file(team, kernel)) as client:
        client.execute(touch(mark), silent=True)
        attempt_is_an_entry_and_a_finding(team, kernel, "missing")
    assert not mark.exists()


def test_any_other_message_at_the_ports_is_refused_and_ends_the_session_too(team: Team) -> None:
    kernel = team.person("gina").kernel()
    mark = team.server.work / "ports-complete"
    kernel.run(f"class Trap:\n    def __dir__(self):\n        exec({touch(mark)!r})\n        return []\ntrap = Trap()")
    with at_the_ports(connection_file(team, kernel)) as client:
        client.complete("trap.", 5)
        attempt_is_an_entry_and_a_finding(team, kernel, "missing")
    assert not mark.exists()


OWN = ["kernel_info_request", "interrupt_request", "shutdown_request"]
"""What the server itself says to a kernel, too; code that an earlier cell left can wait for it."""


def trap(mark: Path) -> str:
    """Return a cell that has code run when a kernel is next asked what it is, interrupted or ended."""
    return (
        f"def trap(*_):\n    {touch(mark)}\n"
        "kernel = get_ipython().kernel\n"
        f"kernel.control_handlers.update(dict.fromkeys({OWN!r}, trap))"
    )


@pytest.mark.parametrize("msg_type", OWN)
def test_what_servers_say_themselves_sets_off_in_a_plain_kernel_what_a_cell_left(plain: Attacker, msg_type: str) -> None:
    mark, kernel = plain.work / f"plain-own-{msg_type}", plain.kernel()
    kernel.run(trap(mark))
    with at_the_ports(plain.server.runtime / f"kernel-{kernel.kernel_id}.json") as client:
        client.session.send(client.control_channel.socket, msg_type, {})
        await_mark(mark, "the trap of a cell")


@pytest.mark.parametrize("msg_type", OWN)
def test_what_the_server_says_itself_is_taken_from_nobody_else(team: Team, msg_type: str) -> None:
    mark, kernel = team.server.work / f"own-{msg_type}", team.person("gina").kernel()
    kernel.run(trap(mark))
    with at_the_ports(connection_file(team, kernel)) as client:
        client.session.send(client.control_channel.socket, msg_type, {})
        attempt_is_an_entry_and_a_finding(team, kernel, "missing")
    assert not mark.exists()


def overheard(kernel: Client, code: str) -> Message:
    """Return a message as the kernel got it, its permit included: a cell can read that, and tell."""
    text = kernel.printed(
        f"{code}\nimport json\nprint(json.dumps(get_ipython().kernel.get_parent(), default=lambda date: date.isoformat()))"
    )
    message: Message = json.loads(text.splitlines()[-1])
    assert PERMIT_KEY in message["metadata"]
    return {name: message[name] for name in ("header", "parent_header", "metadata", "content")}


def count(path: Path) -> str:
    return f"open({str(path)!r}, 'a').write('x')"


@pytest.mark.parametrize("how", ["replayed", "altered", "foreign", "renamed", "restarted"])
def test_a_permit_that_was_overheard_opens_nothing_and_the_attempt_is_an_entry_and_a_finding(team: Team, how: str) -> None:
    """`renamed` says that it is the other session's; `restarted` is the same kernel's, from before it was restarted."""
    mark = team.server.work / f"permit-{how}"
    kernel = team.person("gina").kernel()
    message = overheard(kernel, count(mark))
    assert mark.read_text() == "x"
    cause = how
    if how == "altered":
        message["content"] = cell(count(mark))
        cause = "forged"
    elif how in ("foreign", "renamed"):
        kernel = team.person("gina").kernel()
        kernel.run("1")
    elif how == "restarted":
        assert team.person("gina").request("POST", f"/api/kernels/{kernel.kernel_id}/restart")[0] == 200
        team.server.await_entry("session.canary", lambda e: e.session == session_of(team, kernel))
        cause = "foreign"
    if how == "renamed":
        message["metadata"][PERMIT_KEY]["session"] = session_of(team, kernel)
        cause = "forged"
    with at_the_ports(connection_file(team, kernel)) as client:
        client.session.send(client.shell_channel.socket, message)
        attempt_is_an_entry_and_a_finding(team, kernel, cause)
    assert mark.read_text() == "x"


def test_a_permit_whose_time_is_over_opens_nothing_and_the_attempt_is_an_entry_and_a_finding(team: Team) -> None:
    """The server's own word to this very kernel, unaltered; what has changed is the time, which a cell puts forward here."""
    mark = team.server.work / "permit-late"
    kernel = team.person("gina").kernel()
    message = overheard(kernel, count(mark))
    ends = message["metadata"][PERMIT_KEY]["not_after"]
    kernel.run(f"get_ipython().kernel.session.checker._latest = {ends}")
    with at_the_ports(connection_file(team, kernel)) as client:
        client.session.send(client.shell_channel.socket, message)
        attempt_is_an_entry_and_a_finding(team, kernel, "late")
    assert mark.read_text() == "x"


def test_a_message_that_is_sent_a_second_time_runs_twice_in_a_plain_kernel(plain: Attacker) -> None:
    mark = plain.work / "plain-permit"
    kernel = plain.kernel()
    with at_the_ports(plain.server.runtime / f"kernel-{kernel.kernel_id}.json") as client:
        message = client.session.msg("execute_request", content=cell(count(mark)))
        for number in range(2):
            message["metadata"] = {"number": number}
            client.session.send(client.shell_channel.socket, message)
            while client.get_shell_msg(timeout=30)["parent_header"].get("msg_id") != message["header"]["msg_id"]:
                pass
    assert mark.read_text() == "xx"


@pytest.mark.parametrize("name", ["nora", "ella", "otto", "gina"])
def test_messages_without_the_kernels_key_run_nothing_and_are_put_down_once(
    team: Team, name: str, kernels: Any, ended: Any
) -> None:
    """Any account of the machine can reach the ports; what it sends must not end somebody's session either."""
    kernel = kernels(name)
    mark = team.server.work / f"ports-no-key-{name}"
    with at_the_ports(connection_file(team, kernel)) as client:
        client.session.key = b"another key"
        for _ in range(3):
            client.session.send(client.shell_channel.socket, client.session.msg("execute_request", content=cell(touch(mark))))
        report = team.server.await_entry("kernel.report", lambda e: e.body["kernel_id"] == kernel.kernel_id)
        assert report.body["report"] == "message_unreadable"
    reply = reply_of(kernel.wait(kernel.execute("1")))
    assert (reply["status"] == "ok") == (name in team.grants)
    assert len([e for e in team.server.entries("kernel.report") if e.body["kernel_id"] == kernel.kernel_id]) == 1
    assert not mark.exists()


def test_messages_without_the_key_of_a_plain_kernel_run_nothing_either_and_nobody_is_told(plain: Attacker) -> None:
    """Jupyter's own lock, which holds; the cell after it shows that they have come."""
    mark, kernel = plain.work / "plain-no-key", plain.kernel()
    with at_the_ports(plain.server.runtime / f"kernel-{kernel.kernel_id}.json") as client:
        kept, client.session.key = client.session.key, b"another key"
        client.session.send(client.shell_channel.socket, client.session.msg("execute_request", content=cell(touch(mark))))
        client.session.key = kept
        client.session.send(client.shell_channel.socket, client.session.msg("execute_request", content=cell("1")))
        assert client.get_shell_msg(timeout=30)["content"]["status"] == "ok"
    assert not mark.exists()
