"""The network of a kernel, policy by policy; the table is the one in docs/threat-model.md."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from isolation_house import MARKS, folder_for, server_on
from probe_table import NET_PROBES, Net, Result
from support.servers import AuditedServer

from jupyter_audit.access.profiles import parse_profile
from jupyter_audit.access.terms import CLOSED, OPEN, NetworkPolicy, Rung, fulfils
from jupyter_audit.gate import seccomp
from jupyter_audit.gate.fences import Fences, fences_for
from jupyter_audit.gate.network import FILTER, NAMESPACE, RELAY, IsolationError, enforcement, hosts_file, routes
from jupyter_audit.server.kernels import transport_for

NAME = socket.gethostname().lower()


def address_of_this_machine() -> str:
    """An IPv4 address of this machine that is not the loopback's, or nothing."""
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return ""
        found: str = probe.getsockname()[0]
        return found


@pytest.fixture(scope="module")
def services() -> Iterator[tuple[int, int]]:
    """Two services of this machine, reached by name and by address; they answer `hello`. Return their ports."""
    listeners = [socket.create_server(("0.0.0.0", 0)) for _ in range(2)]
    ports = [listener.getsockname()[1] for listener in listeners]
    datagrams = socket.socket(type=socket.SOCK_DGRAM)
    datagrams.bind(("0.0.0.0", ports[1]))

    def answer(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(b"hello " + connection.recv(9))

    def answer_datagrams() -> None:
        while (received := datagrams.recvfrom(9))[0]:
            datagrams.sendto(b"hello " + received[0], received[1])

    threads = [threading.Thread(target=answer, args=(listener,), daemon=True) for listener in listeners]
    threads.append(threading.Thread(target=answer_datagrams, daemon=True))
    for thread in threads:
        thread.start()
    yield ports[0], ports[1]
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    with socket.socket(type=socket.SOCK_DGRAM) as last:
        last.sendto(b"", ("127.0.0.1", ports[1]))
    for thread in threads:
        thread.join()
    datagrams.close()


FILTERED = pytest.mark.skipif(not seccomp.available(), reason="NOT AVAILABLE HERE: the filter")


@pytest.fixture(scope="module", params=[
    pytest.param(rung, marks=[*marks, *([FILTERED] if rung is Rung.LANDLOCK else [])], id=rung.value) for rung, marks in MARKS.items()
])  # fmt: skip
def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, services: tuple[int, int]
            ) -> Iterator[tuple[Rung, AuditedServer]]:
    rung: Rung = request.param
    port = services[0]
    targets = [f"{host}:{port}" for host in (NAME, address_of_this_machine()) if host]
    profiles = {"wide": {}, "closed": {"network": "none"}, "named": {"network": targets}}
    with folder_for(rung, tmp_path_factory) as folder, server_on(rung, folder, f"--JupyterAudit.profiles={profiles!r}") as server:
        yield rung, server


def check_every_attempt(server: AuditedServer, profile: str, net: Net, services: tuple[int, int]) -> None:
    grant = server.grant(profile=profile)
    client = server.kernel()
    started = server.await_entry("session.started", lambda e: e.body["kernel_id"] == client.kernel_id)
    expected = {Net.OPEN: "", Net.FILTERED: FILTER, Net.NONE: NAMESPACE, Net.TARGETS: RELAY}
    assert started.body["network_by"] == expected[net]
    names = {"NAME": NAME, "ADDRESS": address_of_this_machine(), "PORT": services[0], "OTHER_PORT": services[1], "URL": server.url}
    assert client.run("\n".join(f"{name} = {value!r}" for name, value in names.items()))["status"] == "ok"
    wrong = []
    for attempt in NET_PROBES:
        if "ADDRESS" in attempt.code and not names["ADDRESS"]:
            continue
        reply = client.run(attempt.code)
        result = Result.SUCCEEDS if reply["status"] == "ok" else Result.REFUSED
        expected = attempt.under(net)
        if expected is Result.DEPENDS and started.body["isolation"] == Rung.NONE.value:
            expected = tried_here(attempt.code)
        if expected not in (Result.DEPENDS, result):
            wrong.append((attempt.name, result.value, reply.get("ename"), reply.get("evalue")))
    assert not wrong, "\n".join(map(str, wrong))
    server.revoke(grant)
    ended = server.await_entry("session.ended", lambda e: e.body["kernel_id"] == client.kernel_id)
    # The relay is the supervisor's, and no stray of the kernel's.
    assert (ended.body["clean"], ended.body["processes"]) == (True, 0)


def tried_here(code: str) -> Result:
    """Return what an ordinary process of this account comes to."""
    try:
        exec(code, {})
    except OSError:
        return Result.REFUSED
    return Result.SUCCEEDS


def assert_no_session_starts(server: AuditedServer, profile: str) -> None:
    grant = server.grant(profile=profile)
    status, answer = server.request("POST", "/api/kernels", {"name": "audit"})
    assert status == 403
    assert "cannot be enforced" in answer["message"]
    granted = server.await_entry("access.approved", lambda e: e.grant == grant)
    assert server.await_entry("session.refused", lambda e: e.seq > granted.seq).body["cause"] == "isolation"
    server.revoke(grant)


def test_an_open_network_is_all_there(network: tuple[Rung, AuditedServer], services: tuple[int, int]) -> None:
    check_every_attempt(network[1], "wide", Net.OPEN, services)


def test_a_closed_network_leads_nowhere_or_no_session_starts(network: tuple[Rung, AuditedServer], services: tuple[int, int]) -> None:
    rung, server = network
    if rung.height < Rung.LANDLOCK.height:
        assert_no_session_starts(server, "closed")
    else:
        check_every_attempt(server, "closed", Net.NONE if rung.has_bubblewrap else Net.FILTERED, services)


def test_the_debugger_needs_no_network(network: tuple[Rung, AuditedServer]) -> None:
    rung, server = network
    grant = server.grant(profile="wide" if rung.height < Rung.LANDLOCK.height else "closed")
    client = server.kernel()
    for _ in range(2):
        client.debugger_on()
        client.debug("configurationDone")
        assert client.debug("evaluate", expression="40 + 2", context="repl")["result"] == "42"
        client.debugger_off()
    server.revoke(grant)
    ended = server.await_entry("session.ended", lambda e: e.body["kernel_id"] == client.kernel_id)
    assert ended.body["clean"]


def test_named_targets_are_reached_by_name_and_address_and_nothing_else_or_no_session_starts(
    network: tuple[Rung, AuditedServer], services: tuple[int, int]
) -> None:
    rung, server = network
    if rung.has_bubblewrap:
        check_every_attempt(server, "named", Net.TARGETS, services)
    else:
        assert_no_session_starts(server, "named")


def test_a_kernel_started_before_the_grant_runs_nothing_under_a_profile_that_asks_for_more(
    network: tuple[Rung, AuditedServer]
) -> None:
    """Or a kernel with the network open would do, started a moment before the request for a closed one."""
    rung, server = network
    client = server.kernel()
    grant = server.grant(profile="closed")
    reply = client.run("open('ran-with-the-network', 'w')")
    assert reply["status"] == "error"
    assert "Restart the kernel" in reply["evalue"]
    refused = server.await_entry("cell.refused", lambda e: e.body["kernel_id"] == client.kernel_id)
    assert refused.body["cause"] == "session_terms"
    assert not (server.work / "ran-with-the-network").exists()
    status, answer = server.request("POST", f"/api/kernels/{client.kernel_id}/restart")
    if rung.height < Rung.LANDLOCK.height:
        assert status != 200
        server.revoke(grant)
        return
    assert status == 200, answer
    assert client.run("import socket")["status"] == "ok"  # the websocket that is open was led to the new kernel
    started = server.await_entry("session.started", lambda e: e.body["kernel_id"] == client.kernel_id)
    assert started.body["network"] == "none"
    server.revoke(grant)


def test_what_cannot_be_enforced_is_refused_rung_by_rung() -> None:
    named = NetworkPolicy.parse(["db.example.com:5432"])
    for rung in Rung:
        assert enforcement(OPEN, rung, can_filter=False) == ""
    for rung in (Rung.NONE, Rung.ACCOUNT):
        for policy in (CLOSED, named):
            with pytest.raises(IsolationError):
                enforcement(policy, rung, can_filter=True)
    with pytest.raises(IsolationError):
        enforcement(CLOSED, Rung.LANDLOCK, can_filter=False)
    assert enforcement(named, Rung.BUBBLEWRAP, can_filter=False) == RELAY


@pytest.mark.parametrize(("value", "wrong"), [
    ("closed", "none of them"), ([], "none of them"), (["db.example.com"], "does not end in a port"), (["db:0"], "port"),
    (["db:70000"], "port"), (["*.example.com:443"], "neither a name nor"), (["localhost:5432"], "kernel's own"),
    (["127.0.0.1:5432"], "kernel's own"), (["a b:1"], "neither a name nor"), ([443], "no text"), (["x:1"] * 3 + [f"h{n}:1" for n in range(64)], "more than"),
    (["db\n127.0.0.1 evil:1"], "neither a name nor"),
])  # fmt: skip
def test_a_network_that_cannot_be_read_is_refused_with_the_reason(value: object, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        NetworkPolicy.parse(value)


def test_kernels_have_no_ports_but_those_of_other_languages_that_could_not_do_without_and_have_the_network_open() -> None:
    assert transport_for("python", OPEN) == transport_for("Python", CLOSED) == transport_for("R", CLOSED) == "ipc"
    assert transport_for("R", OPEN) == "tcp"


def test_targets_have_an_address_each_and_names_lead_there() -> None:
    policy = NetworkPolicy.parse(["db.example.com:5432", "DB.example.com:5433", "10.1.2.3:443", "api.example.com:443"])
    assert [(r.address, r.host, r.port) for r in routes(policy)] == [
        ("127.0.1.1", "db.example.com", 5432), ("127.0.1.1", "db.example.com", 5433), ("10.1.2.3", "10.1.2.3", 443),
        ("127.0.1.3", "api.example.com", 443),
    ]  # fmt: skip
    assert hosts_file(policy).splitlines()[2:] == ["127.0.1.1 db.example.com", "127.0.1.3 api.example.com"]


def test_a_session_fulfils_only_what_it_was_fenced_in_for() -> None:
    one, two = NetworkPolicy.parse(["a:1"]), NetworkPolicy.parse(["a:1", "b:2"])
    assert fulfils(Rung.LANDLOCK, CLOSED, Rung.NONE, one)
    assert fulfils(Rung.LANDLOCK, one, Rung.LANDLOCK, two)
    assert not fulfils(Rung.LANDLOCK, two, Rung.NONE, one)
    assert not fulfils(Rung.LANDLOCK, OPEN, Rung.NONE, two)
    assert not fulfils(Rung.LANDLOCK, CLOSED, Rung.BUBBLEWRAP, OPEN)


def test_without_a_grant_a_kernel_gets_what_all_profiles_for_it_agree_on() -> None:
    closed, wide = parse_profile("closed", {"network": "none"}), parse_profile("wide", {})
    r_only = parse_profile("r", {"kernels": ["ir"], "isolation": "landlock"})
    assert fences_for("audit", [], {"closed": closed}) == Fences(Rung.NONE, CLOSED)
    assert fences_for("audit", [], {"closed": closed, "wide": wide}) == Fences()
    assert fences_for("audit", [], {"closed": closed, "r": r_only}) == Fences(Rung.NONE, CLOSED)
    assert fences_for("ir", [], {"r": r_only}) == Fences(Rung.LANDLOCK, OPEN)

