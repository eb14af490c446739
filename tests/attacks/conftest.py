"""
Fixtures for the attacks. Both servers are shared by the whole package: starting them is most of the time.

- `plain`: somebody at a stock JupyterLab, where each attack must succeed first.
- `team`: an audited JupyterLab with the people of attack_house (ENGINEERS, WATCHERS) at it.
- `kernels`: one kernel of each for all messages that are tried; `ended` those that were sent after ella's grant ended,
  `run_out` some that were sent after a grant of rita's ran out by the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import websocket
from attack_house import ROGUE, SOON_BACK, Attacker, Client, Team, load, plain_server, roads, team_server, touch
from support.servers import V1, wait_for

from jupyter_audit.access.grants import Grant
from jupyter_audit.clock import SystemClock


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacker]:
    folder = Path(tmp_path_factory.mktemp("plain"))
    trap = {"argv": ["touch", str(folder / "language-server")], "languages": ["x"], "mime_types": ["text/x"], "version": 2}
    config = (
        f"import sys; sys.path.insert(0, {str(ROGUE)!r})\n"
        # A notebook folder that is somebody's home is nothing unusual.
        "c.ContentsManager.allow_hidden = True\n"
        f"c.LanguageServerManager.language_servers = {{'trap': {trap!r}}}\n{SOON_BACK}"
    )
    with plain_server(folder, config=config) as server:
        yield Attacker(server, "anybody", server.token, "python3", folder)


@pytest.fixture(scope="session")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with team_server(Path(tmp_path_factory.mktemp("team"))) as team:
        team.grant("gina")
        team.grant("otto")
        team.grant("ella")
        yield team


Kernels = Callable[..., Client]


@pytest.fixture(scope="session")
def shared_kernels() -> dict[str, str]:
    """The ids of the shared kernels, by their owners' names, as they are started."""
    return {}


@pytest.fixture(scope="module")
def kernels(plain: Attacker, team: Team, shared_kernels: dict[str, str]) -> Kernels:
    """
    Return a function that connects to the shared kernel of somebody, in the protocol that is asked for.

    Connections are a file's own: while other files' tests run, nobody here answers the server's pings, and it closes them.
    """
    ids = shared_kernels
    clients: dict[tuple[str, str | None], Client] = {}

    def kernel_of(name: str, subprotocol: str | None = None) -> Client:
        person = plain if name == "plain" else team.person(name)
        key = (name, subprotocol)
        if name not in ids:
            ids[name] = person.start_kernel()
        if key not in clients:
            clients[key] = person.kernel(ids[name], subprotocol)
        return clients[key]

    return kernel_of


@dataclass
class Late:
    """A message that was sent after the grant behind its kernel had ended."""

    msg_id: str
    kernel_id: str
    mark: Path


@pytest.fixture(scope="session")
def ended(team: Team) -> dict[str, Late]:
    """
    Prepare every road of messages on one kernel of ella's, end her grant, and send them all.

    The grant is ended by another process, so that the messages meet the gate and not a kernel that is gone.
    """
    ella = team.person("ella")
    first = ella.kernel()
    clients = {None: first, V1: ella.kernel(first.kernel_id, V1)}
    names = sorted(roads("messages"), key=lambda name: hasattr(load("messages", name), "WAITS"))
    modules = {name: load("messages", name) for name in names}
    marks = {name: team.server.work / f"ended-{name}" for name in names}
    for name, road in modules.items():
        if hasattr(road, "prepare"):
            road.prepare(first, touch(marks[name]))
    first.execute("1")
    team.revoke_elsewhere("ella")
    late = {}
    for name, road in modules.items():
        client = clients[getattr(road, "SUBPROTOCOL", None)]
        late[name] = Late(road.strike(client, touch(marks[name])), first.kernel_id, marks[name])
    ended = team.server.await_entry("session.ended", lambda e: e.body["kernel_id"] == first.kernel_id)
    assert ended.body["cause"] == "revoked"
    return late


RUN_OUT = ("execute", "complete", "comm_msg", "debug_evaluate", "input_reply")
"""Roads that are tried after a grant that ran out; the last leaves the kernel waiting, so it is prepared last."""


@dataclass
class RunOut:
    """A grant that ran out by the clock, and the messages that were sent after it, by their roads."""

    grant: Grant
    late: dict[str, Late]


@pytest.fixture(scope="session")
def run_out(team: Team) -> RunOut:
    """Prepare RUN_OUT on a kernel of rita's under a grant of some seconds, wait for the grant's end, and send them all."""
    for seconds in (5, 15, 60):
        if (found := after_a_grant_of(team, seconds)) is not None:
            return found
    raise AssertionError("a minute was too short to prepare it all")


def after_a_grant_of(team: Team, seconds: float) -> RunOut | None:
    """Return what was sent after a grant of some seconds had run out; None if it had before all was prepared."""
    clock, client = SystemClock(), team.person("rita").kernel()
    marks = {name: team.server.work / f"run-out-{seconds}-{name}" for name in RUN_OUT}
    modules = {name: load("messages", name) for name in RUN_OUT}
    grant = team.short_grant("rita", seconds)
    try:
        for name, road in modules.items():
            # The last waits for a question that a kernel which is gone never asks.
            if (grant.not_after - clock.now()).total_seconds() < seconds / 4:
                return None
            if hasattr(road, "prepare"):
                road.prepare(client, touch(marks[name]))
    except (AssertionError, websocket.WebSocketException):
        if clock.now() < grant.not_after:
            raise
    if clock.now() >= grant.not_after:
        return None
    wait_for(lambda: clock.now() > grant.not_after, "the grant to run out")
    late = {name: Late(road.strike(client, touch(marks[name])), client.kernel_id, marks[name]) for name, road in modules.items()}
    return RunOut(grant, late)
