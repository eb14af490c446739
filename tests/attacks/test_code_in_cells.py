"""
Code in a cell that reaches for the server, and code in a kernel that sends that kernel messages or lies about itself.

A cell needs a grant (test_message_roads.py). What it reaches under one is in tests/isolation/test_probes.py, rung by rung.
"""

from __future__ import annotations

import json
from typing import Any

from attack_house import Attacker, Client, Team, await_mark, touch

REPORT = (
    "kernel = get_ipython().kernel\n"
    "kernel.session.send(kernel.iopub_socket, 'audit_report', {report!r}, ident=b'audit_report')"
)


def test_on_a_plain_server_a_cell_reads_its_token_and_every_kernels_key(plain: Attacker) -> None:
    kernel, other = plain.kernel(), plain.start_kernel()
    found = json.loads(kernel.printed(
        "import json, os, pathlib\n"
        "runtime = pathlib.Path.home() / '.local/share/jupyter/runtime'\n"
        f"key = json.loads((runtime / 'kernel-{other}.json').read_text())['key']\n"
        "tokens = [json.loads(path.read_text())['token'] for path in runtime.glob('jpserver-*.json')]\n"
        "print(json.dumps([tokens, key, os.access(f'/proc/{os.getppid()}/mem', os.W_OK)]))"
    ))  # fmt: skip
    assert plain.token in found[0]
    assert found[1:] == [json.loads((plain.server.runtime / f"kernel-{other}.json").read_text())["key"], True]


def test_code_in_a_plain_kernel_sends_it_a_cell(plain: Attacker) -> None:
    mark, kernel = plain.work / "plain-from-within", plain.kernel()
    kernel.run(
        "from jupyter_client import BlockingKernelClient\nfrom ipykernel.connect import get_connection_file\n"
        "client = BlockingKernelClient(connection_file=get_connection_file())\n"
        f"client.load_connection_file(); client.start_channels(); client.execute({touch(mark)!r}, silent=True)"
    )
    await_mark(mark, "a cell from within")


def started(team: Team, kernel: Client) -> Any:
    return team.server.await_entry("session.started", lambda e: e.body["kernel_id"] == kernel.kernel_id)


def test_a_kernel_that_reports_a_refusal_ends_its_own_session_and_nobody_elses(team: Team, kernels: Any) -> None:
    """What a kernel says is put down under the session whose socket it came from, whatever it names."""
    liar, victim = team.person("gina").kernel(), kernels("otto")
    liar.run("1")
    named = started(team, victim)
    report = {"report": "permit_refused", "cause": "missing", "session": named.session, "kernel_id": victim.kernel_id,
              "msg_id": "x", "reported_by": "server"}  # fmt: skip
    liar.execute(REPORT.format(report=report))
    ended = team.server.await_entry("session.ended", lambda e: e.body["kernel_id"] == liar.kernel_id)
    assert (ended.session, ended.body["cause"]) == (started(team, liar).session, "foreign_code")
    told = team.server.await_entry("kernel.report", lambda e: e.session == ended.session)
    assert (told.body["kernel_id"], told.body["reported_by"]) == (liar.kernel_id, "kernel")
    assert not [e for e in team.server.entries("session.ended", "finding.raised") if e.session == named.session and
                e.body.get("rule", "foreign-code") == "foreign-code"]  # fmt: skip
    assert victim.run("1")["status"] == "ok"
