"""A server that keeps its own list of people: who gets in, who does not, and that a change holds at once."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import requests
import websocket
from support.servers import AuditedServer, audited_server, make_home, reply_of, wait_for

from jupyter_audit.access.peoplefile import change_people
from jupyter_audit.cli.main import main
from jupyter_audit.clock import SystemClock
from jupyter_audit.ledger import open_ledger
from jupyter_audit.record import kinds
from jupyter_audit.server.attempts import (
    MOST_PER_ADDRESS,
    MOST_PER_NAME,
    SLOTS,
    WINDOW_S,
    Attempts,
    TooManyAttemptsError,
    network_of,
)

CONFIG = """
c.ServerApp.identity_provider_class = "jupyter_audit.server.login.PeopleIdentityProvider"
c.JupyterAudit.roles = {"engineer": ["group:dev"], "approver": ["amy", "bot", "group:leads"], "auditor": ["ida"]}
c.JupyterAudit.profiles = {"production-debug": {}, "agents": {"services": True, "cell_approval": "each"}}
c.JupyterAudit.sweep_seconds = 1
"""
PASSWORD = "four words that rhyme"


@dataclass(frozen=True)
class Team:
    """A running server and the command that says who may log in."""

    server: AuditedServer

    def people(self, *words: str, password: str = "") -> Any:
        return manage(self.server.home.path, *words, password=password)

    def browser(self, name: str, password: str, *, path: str = "/login") -> requests.Session:
        """Log in by the form, as a browser does; the answer is `last`."""
        session = requests.Session()
        page = session.get(f"{self.server.url}{path}", timeout=60)
        xsrf = re.search(r'name="_xsrf" value="([^"]+)"', page.text)
        assert xsrf, page.text
        form = {"_xsrf": xsrf[1], "username": name, "password": password}
        session.last = session.post(f"{self.server.url}{path}", data=form, timeout=60)  # type: ignore[attr-defined]
        return session

    def who(self, session: requests.Session) -> str | None:
        answer = session.get(f"{self.server.url}/api/me", timeout=60)
        return str(answer.json()["identity"]["username"]) if answer.status_code == 200 else None

    def ask(self, token: str, method: str, path: str, body: object = None) -> tuple[int, Any]:
        return self.server.request(method, f"/audit/api/v1/{path}", body, token=token)


def manage(home: Path, *words: str, password: str = "") -> Any:
    """Run `jupyter audit people`; return what it prints."""
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", out)
        patch.setattr("sys.stdin", io.StringIO(password + "\n"))
        patch.setattr("jupyter_audit.configfile.SYSTEM_FOLDERS", ())
        assert main(["people", *words, "--home", str(home), "--json"]) == 0
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    return lines if words[0] == "list" else lines[0]


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    folder = tmp_path_factory.mktemp("people")
    home = make_home(folder)
    config = folder / "admin_config.py"
    config.write_text(CONFIG)
    config.chmod(0o600)
    manage(home.path, "add", "amy", "--password", password=PASSWORD)
    with audited_server(folder, f"--config={config}", solo=False) as running:
        yield Team(running)


def test_a_name_and_a_password_log_a_browser_in(team: Team) -> None:
    session = team.browser("amy", PASSWORD)
    assert team.who(session) == "amy"
    status = session.get(f"{team.server.url}/audit/api/v1/status", timeout=60).json()
    assert (status["me"]["vouched_by"], status["me"]["roles"]) == ("PeopleIdentityProvider", ["approver"])


def test_an_accent_is_one_however_it_is_typed(team: Team) -> None:
    team.people("add", "zo\u00eb", "--password", password="caf\u00e9 cr\u00e8me br\u00fbl\u00e9e")
    assert team.who(team.browser("zoe\u0308", "cafe\u0301 cre\u0300me bru\u0302le\u0301e")) == "zo\u00eb"


def test_nobody_learns_whether_a_name_exists(team: Team) -> None:
    team.people("add", "tom")  # has a token, no password
    answers = [team.browser(name, "a wrong password").last for name in ("amy", "nobody", "tom")]  # type: ignore[attr-defined]
    assert {answer.status_code for answer in answers} == {401}
    assert len({re.sub(r'value="[^"]*"', "", answer.text) for answer in answers}) == 1


def test_the_form_needs_its_xsrf_token_and_leads_nowhere_else(team: Team) -> None:
    bare = requests.post(f"{team.server.url}/login", data={"username": "amy", "password": PASSWORD}, timeout=60)
    assert bare.status_code == 403
    session = requests.Session()
    page = session.get(f"{team.server.url}/login?next=https://evil.example/", timeout=60).text
    form = {"_xsrf": re.search(r'name="_xsrf" value="([^"]+)"', page)[1], "next": "https://evil.example/"}  # type: ignore[index]
    answer = session.post(
        f"{team.server.url}/login", data=form | {"username": "amy", "password": PASSWORD}, allow_redirects=False, timeout=60
    )
    assert answer.status_code == 302
    assert "evil" not in answer.headers["Location"]
    page = requests.get(f"{team.server.url}/login?next=%22%3E%3Cscript%3E", timeout=60)
    assert '"><script>' not in page.text


def test_what_is_added_changed_and_removed_holds_at_once_for_tokens_and_cookies(team: Team) -> None:
    token = team.people("add", "eva", "--group", "dev")["token"]
    assert team.ask(token, "GET", "status")[1]["me"]["roles"] == ["engineer"]
    cookies = requests.Session()
    cookies.get(f"{team.server.url}/api/status?token={token}", timeout=60)
    assert team.who(cookies) == "eva"
    other = team.people("token", "eva")["token"]
    assert (team.ask(token, "GET", "status")[0], team.who(cookies)) == (403, None)
    team.people("groups", "eva", "--group", "leads")
    assert team.ask(other, "GET", "status")[1]["me"]["roles"] == ["approver"]
    team.people("password", "eva", password=PASSWORD)
    session = team.browser("eva", PASSWORD)
    assert team.who(session) == "eva"
    team.people("groups", "eva", "--group", "dev")
    assert session.get(f"{team.server.url}/audit/api/v1/status", timeout=60).json()["me"]["roles"] == ["engineer"]
    team.people("remove", "eva")
    assert (team.ask(other, "GET", "status")[0], team.who(session)) == (403, None)
    team.people("add", "eva", "--password", password=PASSWORD)
    assert team.who(session) is None  # another person of the same name
    kinds = [entry.type for entry in team.server.entries("people.") if entry.body["person"] == "eva"]
    assert kinds == ["people.added", *["people.changed"] * 4, "people.removed", "people.added"]


def test_an_open_websocket_of_somebody_who_is_removed_is_closed(team: Team) -> None:
    token = team.people("add", "wim", "--group", "dev")["token"]
    url = f"{team.server.url.replace('http', 'ws', 1)}/api/events/subscribe"
    socket = websocket.create_connection(url, header=[f"Authorization: token {token}"], timeout=30)
    staying = websocket.create_connection(url, header=[f"Authorization: token {team.people('token', 'amy')['token']}"], timeout=30)
    team.people("remove", "wim")
    opcode, data = socket.recv_data()
    assert (opcode, int.from_bytes(data[:2])) == (websocket.ABNF.OPCODE_CLOSE, 1008)
    staying.ping()
    assert staying.recv_data_frame(control_frame=True)[0] == websocket.ABNF.OPCODE_PONG
    staying.close()


def test_the_grants_of_somebody_who_is_removed_end(team: Team) -> None:
    token = team.people("add", "ben", "--group", "dev")["token"]
    lead = team.people("add", "lea", "--group", "leads")["token"]
    asked = team.ask(token, "POST", "requests", {"profile": "production-debug", "reason": "stuck orders", "ticket": "T-1"})[1]
    status, grant = team.ask(lead, "POST", f"requests/{asked['id']}/approve", {})
    assert (status < 300, grant["principal"]) == (True, "ben")
    waiting = team.ask(token, "POST", "requests", {"profile": "production-debug", "reason": "more stuck orders", "ticket": "T-1"})[1]
    assert team.people("remove", "ben") == {"removed": ["ben"], "revoked": [grant["id"]], "closed": [waiting["id"]]}
    assert team.server.await_entry("access.revoked", lambda entry: entry.grant == grant["id"])
    assert team.server.await_entry("access.closed").body == {"request": waiting["id"], "reason": "ben was removed."}
    assert team.ask(lead, "POST", f"requests/{waiting['id']}/approve", {})[0] == 409


def test_a_server_ends_by_itself_what_is_whoever_s_who_left_the_group_that_gave_the_role(team: Team) -> None:
    """The people file changes without a word about grants, as where a crash cut `people remove` short."""
    token = team.people("add", "liv", "--group", "dev")["token"]
    asked = team.ask(token, "POST", "requests", {"profile": "production-debug", "reason": "stuck orders", "ticket": "T-1"})[1]
    with open_ledger(team.server.home, clock=SystemClock()) as ledger:
        change_people(
            team.server.home,
            ledger,
            lambda people, write: [
                kinds.PeopleChanged("liv", "groups", [], write(people.changed(replace(people.get("liv"), groups=()))))
            ],
            lambda said: ledger.append([kinds.draft(kind) for kind in said]),
        )
    closed = team.server.await_entry("access.closed", lambda entry: entry.body["request"] == asked["id"])
    assert (closed.actor.name, "role engineer" in str(closed.body["reason"])) == ("jupyter-audit", True)


def test_a_shared_token_lets_nobody_in_and_approves_nothing(team: Team) -> None:
    """The server was given one (--IdentityProvider.token), as Jupyter's own providers take it."""
    token = team.people("add", "cal", "--group", "dev")["token"]
    asked = team.ask(token, "POST", "requests", {"profile": "production-debug", "reason": "stuck orders", "ticket": "T-1"})[1]
    for shared in (team.server.token, ""):
        assert team.ask(shared, "POST", f"requests/{asked['id']}/approve", {})[0] in (401, 403)
    assert team.browser("amy", team.server.token).last.status_code == 401  # type: ignore[attr-defined]
    assert all(entry.body["request"] != asked["id"] for entry in team.server.entries("access.approved"))


def test_a_service_acts_on_behalf_of_somebody_in_every_entry(team: Team) -> None:
    owner, lead = (team.people("add", name, "--group", "dev", "--group", "leads")["token"] for name in ("dan", "lou"))
    token = team.people("add", "bot", "--service", "--on-behalf-of", "dan", "--group", "dev")["token"]
    assert team.ask(token, "GET", "status")[1]["me"]["roles"] == ["engineer"]  # though c.JupyterAudit.roles names it an approver
    wish = {"profile": "agents", "reason": "look at stuck orders", "ticket": "T-1"}
    asked = team.ask(token, "POST", "requests", wish)[1]
    entry = team.server.await_entry("access.requested")
    assert (entry.actor.name, entry.actor.vouched_by) == ("bot", "PeopleIdentityProvider, on behalf of dan")
    assert team.ask(owner, "POST", f"requests/{asked['id']}/approve", {})[0] == 403
    assert team.ask(token, "POST", "requests", wish | {"profile": "production-debug"})[0] == 403
    grant = team.ask(lead, "POST", f"requests/{asked['id']}/approve", {})[1]["id"]

    # Each cell of the service's waits for a person who is not the one for whom it acts.
    bot = replace(team.server, token=token).kernel()
    mark, sent, held = team.server.work / "by-the-bot", [], []
    for number in range(3):
        sent.append(bot.execute(f"print('cell', {number}, file=open({str(mark)!r}, 'a'))"))
        held.append(team.server.await_entry("cell.held", lambda entry: entry.body["msg_id"] == sent[-1]))
        cell = f"held-cells/{held[-1].body['hold']}"
        assert (held[-1].actor, held[-1].body["on_behalf_of"], held[-1].grant) == (entry.actor, "dan", grant)
        for nobody in (owner, token):
            assert team.ask(nobody, "POST", f"{cell}/approve", {})[0] == 403
        if number == 0:
            assert team.ask(lead, "POST", f"{cell}/approve", {})[0] == 200
            assert reply_of(bot.wait(sent[-1]))["status"] == "ok"
        elif number == 1:
            assert team.ask(lead, "POST", f"{cell}/deny", {"reason": "not on this table"})[0] == 200
            reply = reply_of(bot.wait(sent[-1]))
            assert (reply["ename"], "not on this table" in reply["evalue"]) == ("CellDenied", True)
    admitted = team.server.await_entry("cell.admitted", lambda entry: entry.body["msg_id"] == sent[0])
    assert (admitted.actor, admitted.grant, admitted.body["held"]) == (entry.actor, grant, held[0].seq)
    approved = team.server.await_entry("cell.approved", lambda entry: entry.body["hold"] == held[0].body["hold"])
    assert approved.actor.name == "lou"

    # Without the person there is no service, and nothing of it waits or runs.
    assert set(team.people("remove", "dan")["removed"]) == {"dan", "bot"}
    assert team.ask(token, "GET", "status")[0] == 403
    team.server.await_entry("cell.hold_ended", lambda entry: entry.body["hold"] == held[2].body["hold"])
    team.server.await_entry("session.ended", lambda entry: entry.session == admitted.session)
    assert team.ask(lead, "POST", f"held-cells/{held[2].body['hold']}/approve", {})[0] == 409
    assert mark.read_text() == "cell 0\n"


def test_a_file_put_back_from_a_backup_brings_nobody_back(team: Team) -> None:
    file = team.server.home.people
    token = team.people("add", "gus")["token"]
    backup = file.read_bytes()
    team.people("remove", "gus")
    now = file.read_bytes()
    file.write_bytes(backup)
    assert team.ask(token, "GET", "status")[0] == 403
    assert "not what the ledger says" in team.server.log
    file.write_bytes(now)
    assert team.who(team.browser("amy", PASSWORD)) == "amy"


def test_attempts_are_limited_alike_for_names_that_exist_and_not_and_say_so(team: Team) -> None:
    team.people("add", "zoe", "--password", password=PASSWORD)
    for name in ("zoe", "nobody at all"):
        answers = [team.browser(name, f"wrong {number}").last for number in range(MOST_PER_NAME + 1)]  # type: ignore[attr-defined]
        assert [answer.status_code for answer in answers] == [401] * MOST_PER_NAME + [429]
        assert int(answers[-1].headers["Retry-After"]) > 0
        assert "Try again in" in answers[-1].text
    assert team.browser("zoe", PASSWORD).last.status_code == 429  # type: ignore[attr-defined]
    assert team.who(team.browser("amy", PASSWORD)) == "amy"


# The last of those that ask the server: from here on its address is limited.
def test_guessed_tokens_are_limited_by_address_and_known_ones_go_on(team: Team) -> None:
    token = team.people("add", "ken")["token"]
    assert team.ask(token, "GET", "status")[0] == 200
    statuses = []

    def limited() -> bool:
        statuses.append(team.ask(f"{len(statuses):012x}.guess", "GET", "status"))
        return statuses[-1][0] == 429

    wait_for(limited, "a 429 for guessed tokens")
    assert {status for status, _ in statuses[:-1]} <= {403}
    assert statuses[-1][1]["code"] == "too_many_attempts"
    assert team.ask(token, "GET", "status")[0] == 200


# --- the limits by themselves ---------------------------------------------------------------------


def test_limits_end_with_their_window_and_right_ones_do_not_count() -> None:
    now = [0.0]
    attempts = Attempts(lambda: now[0])
    for _ in range(100):
        attempts.begin("amy", "192.0.2.1")
        attempts.succeeded("amy", "192.0.2.1")
    for _ in range(MOST_PER_NAME):
        attempts.begin("amy", "192.0.2.1")
    with pytest.raises(TooManyAttemptsError) as refused:
        attempts.begin("amy", "192.0.2.2")
    assert 0 < refused.value.retry_after <= WINDOW_S + 1
    now[0] += WINDOW_S
    attempts.begin("amy", "192.0.2.1")


def test_made_up_names_are_limited_by_address_and_fill_no_memory() -> None:
    attempts = Attempts(lambda: 0.0)
    for number in range(MOST_PER_ADDRESS):
        attempts.begin(f"name {number}", "2001:db8::1")
    with pytest.raises(TooManyAttemptsError):
        attempts.begin("another", "2001:db8::ffff:2")  # the same /64
    for number in range(200_000):
        address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        try:
            attempts.begin(f"n{number}", address)
        except TooManyAttemptsError:
            continue
    assert len(attempts._slots) <= SLOTS


def test_one_address_has_one_spelling() -> None:
    assert network_of("::ffff:192.0.2.1") == network_of("192.0.2.1")
    assert network_of("fe80::1%eth0") == network_of("fe80::2%eth1")
    assert network_of("") == ""
