"""
The debugger's port: debugpy's adapter listens on one for as long as the kernel lives, and asks who connects for no secret.

Whoever can reach 127.0.0.1 attaches to a plain kernel whose debugger was ever turned on, and evaluates. No such port is
there in an audited one, at any time; what the kernel's processes listen on is looked at from outside, where nothing is hidden.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import uuid
from typing import Any

import psutil
import pytest
from attack_house import Attacker, Client, Team, await_mark, touch

ATTACK = r"""
import json, socket
def attack(port, code):
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.settimeout(20)
        stream = connection.makefile("rwb")
        sent = 0
        def send(command, **arguments):
            nonlocal sent
            sent += 1
            body = json.dumps({"type": "request", "seq": sent, "command": command, "arguments": arguments}).encode()
            stream.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
            stream.flush()
        def until(what):
            heard = {}
            while what not in (heard.get("command"), heard.get("event")):
                size = int(stream.readline().split(b":")[1])
                stream.readline()
                heard = json.loads(stream.read(size))
            assert heard.get("success", True), heard
        send("initialize", adapterID="anybody", pathFormat="path", linesStartAt1=True, columnsStartAt1=True)
        until("initialize")
        send("attach", justMyCode=False)  # it wants arguments, whichever
        until("initialized")
        send("configurationDone")
        until("configurationDone")
        send("evaluate", expression=code, context="repl")
        until("evaluate")
"""
"""What anybody runs who knows the port."""
MOMENTS = ("initialized", "attached", "disconnected")


def bring_to(kernel: Client, moment: str) -> None:
    """Turn a kernel's debugger on, and off again if the moment asks for it."""
    kernel.debugger_on(attached=moment != "initialized")
    if moment == "disconnected":
        kernel.debugger_off()


def marked(kernel: Client) -> str:
    """Have all that a kernel starts from now on tell by its environment whose it is; return by what."""
    mark = uuid.uuid4().hex
    assert kernel.run(f"import os; os.environ['DEBUGGED'] = {mark!r}")["status"] == "ok"
    return mark


def addresses(of: str, mark: str) -> set[Any]:
    """Return the ports and named sockets of all processes that have `of` in their command lines, or carry a mark."""
    found: set[Any] = set()
    for process in psutil.process_iter(["cmdline", "environ"]):
        if any(of in word for word in process.info["cmdline"] or ()) or (process.info["environ"] or {}).get("DEBUGGED") == mark:
            try:
                open_there = process.net_connections("all")
            except psutil.NoSuchProcess:
                continue
            found |= {c.laddr for c in open_there if c.laddr and (c.family == socket.AF_UNIX or c.status == psutil.CONN_LISTEN)}
    return found


@pytest.mark.parametrize("moment", ["initialized", "disconnected"])
def test_anybody_who_finds_the_debuggers_port_runs_code_in_a_plain_kernel(plain: Attacker, moment: str) -> None:
    kernel, left = plain.kernel(), plain.work / f"debug-port-{moment}"
    mark = marked(kernel)
    before = addresses(kernel.kernel_id, mark)
    bring_to(kernel, moment)
    ports = {address.port for address in addresses(kernel.kernel_id, mark) - before}
    assert ports
    attacks = [subprocess.Popen([sys.executable, "-c", f"{ATTACK}\nattack({port}, {touch(left)!r})"]) for port in ports]
    try:
        await_mark(left, "an expression of whoever found the port")
    finally:
        for attack in attacks:
            attack.kill()
            attack.wait()


def test_an_audited_kernels_debugger_listens_nowhere_at_any_time_and_works_whenever_it_is_turned_on(team: Team) -> None:
    kernel = team.person("gina").kernel()
    mark = marked(kernel)
    session = str(team.server.await_entry("session.started", lambda e: e.body["kernel_id"] == kernel.kernel_id).session)
    before = addresses(session, mark)
    assert before, "the kernel's own sockets, or they were not looked for in the right place"
    for _ in range(2):
        for moment in MOMENTS:
            bring_to(kernel, moment)
            assert addresses(session, mark) == before
            if moment == "attached":
                assert kernel.debug("evaluate", expression="40 + 2", context="repl")["result"] == "42"
            if moment != "disconnected":
                kernel.debugger_off()
