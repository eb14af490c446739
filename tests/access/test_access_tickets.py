"""Where a profile has tickets checked, nothing is asked for or approved without a clear yes of the tracker."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from access_house import House, SetClock
from support.trackers import Tracker, command_tracker, http_tracker

from jupyter_audit.access.grants import Grant
from jupyter_audit.access.policy import Policy
from jupyter_audit.access.profiles import Profile, parse_profile
from jupyter_audit.access.tickets import NoAnswerError, Seen, Standing, Tickets, judge
from jupyter_audit.errors import AccessError, ConfigError
from jupyter_audit.ledger import open_ledger
from jupyter_audit.server.ticketwatch import why_it_ends
from jupyter_audit.settings import JupyterAudit


@pytest.fixture(scope="module")
def served() -> Iterator[Tracker]:
    with http_tracker() as tracker:
        yield tracker


@pytest.fixture
def tracker(served: Tracker) -> Tracker:
    served.tickets = {"T-1": {"open": True, "people": ["ada"]}}
    served.down, served.raw = False, None
    served.asked.clear()
    served.tokens.clear()
    return served


def house_of(tmp_path: Path, clock: SetClock, **profile: Any) -> House:
    return House(tmp_path, clock, profiles={"production-debug": profile})


def by_url(tracker: Tracker, **more: Any) -> Profile:
    return parse_profile("p", {"ticket_url": tracker.template, "ticket_timeout_seconds": 1, **more})


def by_command(folder: Path, **more: Any) -> Profile:
    return parse_profile("p", {"ticket_command": command_tracker(folder), "ticket_timeout_seconds": 5, **more})


def test_an_open_ticket_of_ones_own_is_taken_and_looked_at_again_at_approval(
    tmp_path: Path, clock: SetClock, tracker: Tracker
) -> None:
    house = house_of(tmp_path, clock, ticket_url=tracker.template, ticket_seconds=1)
    house.access._tickets = Tickets(clock.monotonic)
    request = house.ask()
    assert house.newest()["ticket_checked"] is True
    clock.pass_time(2)
    tracker.tickets["T-1"]["open"] = False
    with pytest.raises(AccessError, match="no open ticket T-1"):
        house.access.approve(house.person("cyn"), request)
    assert house.types()[-1] == "access.refused"
    tracker.tickets["T-1"]["open"] = True
    assert isinstance(house.access.approve(house.person("cyn"), request), Grant)
    assert len(tracker.asked) == 3
    house.close()


def test_more_time_needs_the_ticket_to_be_open_still(tmp_path: Path, clock: SetClock, tracker: Tracker) -> None:
    house = house_of(tmp_path, clock, ticket_url=tracker.template, ticket_seconds=1)
    house.access._tickets = Tickets(clock.monotonic)
    grant = house.access.approve(house.person("cyn"), house.ask())
    clock.pass_time(2)
    tracker.tickets.clear()
    with pytest.raises(AccessError, match="no open ticket"):
        house.access.extend(house.person("ada"), grant.id, reason="orders are stuck still")
    house.close()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"open": True, "people": ["bob"]}, "somebody else's"),
        ({"open": False, "people": ["ada"]}, "no open ticket"),
        (None, "no open ticket"),
        ({"open": "yes"}, "no answer"),
        ({"open": 1}, "no answer"),
        ({}, "no answer"),
        ([True], "no answer"),
        ({"open": True, "people": "ada"}, "no answer"),
        ("elsewhere", "no answer"),
    ],
    ids=["anothers", "closed", "unknown", "yes", "one", "nothing", "list", "people", "redirect"],
)
def test_what_is_no_clear_yes_is_refused_and_recorded(
    tmp_path: Path, clock: SetClock, tracker: Tracker, answer: Any, told: str
) -> None:
    house = house_of(tmp_path, clock, ticket_url=tracker.template)
    tracker.tickets = {} if answer is None else {"T-1": answer}
    with pytest.raises(AccessError, match=told):
        house.ask()
    assert house.types()[-1] == "access.refused"
    house.close()


@pytest.mark.parametrize("raw", [b"", b"open", b"{" * 100_000, b'{"open": true}' + b" " * 70_000], ids=["empty", "word", "deep", "big"])
def test_an_answer_that_cannot_be_read_is_none(tracker: Tracker, raw: bytes) -> None:
    tracker.raw = raw
    assert Tickets().ask(by_url(tracker), "T-1", "ada").standing is Standing.UNANSWERED


def test_a_tracker_that_is_down_or_slow_is_waited_for_no_longer_than_the_profile_says(tracker: Tracker) -> None:
    tracker.down = True
    assert Tickets().ask(by_url(tracker), "T-1", "ada").standing is Standing.UNANSWERED
    tracker.down = False
    tracker.hold.clear()
    seen = Tickets().ask(by_url(tracker), "T-1", "ada")
    tracker.hold.set()
    assert seen.standing is Standing.UNANSWERED
    nobody = parse_profile("p", {"ticket_url": "http://127.0.0.1:1/{ticket}"})
    assert Tickets().ask(nobody, "T-1", "ada").standing is Standing.UNANSWERED


def test_the_ledger_is_not_locked_while_the_tracker_is_asked(tmp_path: Path, clock: SetClock, tracker: Tracker) -> None:
    house = house_of(tmp_path, clock, ticket_url=tracker.template, ticket_timeout_seconds=30)
    tracker.hold.clear()
    made: list[str] = []
    asking = threading.Thread(target=lambda: made.append(house.ask()))
    asking.start()
    try:
        # Another process's act is done while the tracker keeps this one waiting.
        other = open_ledger(house.home, clock=clock)
        assert other.transact(lambda reader: []) == []
        other.close()
        assert not made
    finally:
        tracker.hold.set()
        asking.join(30)
    assert made
    house.close()


def test_a_yes_is_kept_as_long_as_stated_and_a_no_never(tracker: Tracker, clock: SetClock) -> None:
    tickets, profile = Tickets(clock.monotonic), by_url(tracker, ticket_seconds=60)
    for _ in range(3):
        assert tickets.ask(profile, "T-1", "ada").standing is Standing.OPEN
    assert len(tracker.asked) == 1
    clock.pass_time(61)
    tracker.tickets.clear()
    assert tickets.ask(profile, "T-1", "ada").standing is Standing.CLOSED
    tracker.tickets["T-1"] = {"open": True}
    assert tickets.ask(profile, "T-1", "ada").standing is Standing.OPEN
    assert tickets.ask(profile, "T-1", "bob").standing is Standing.OPEN
    assert len(tracker.asked) == 4


@pytest.mark.parametrize("ticket", ["../../admin", "T-1/../../x", "T-1?open=1#", "a b&user=root", "%2e%2e", "ä"])
def test_a_ticket_is_one_quoted_part_of_the_url(tracker: Tracker, ticket: str) -> None:
    tracker.tickets[ticket] = {"open": True}
    assert Tickets().ask(by_url(tracker), ticket, "ada&x=1").standing is Standing.OPEN
    (asked,) = tracker.asked
    assert asked.count("/") == 2
    assert asked.count("?") == 1
    assert asked.endswith("?user=ada%26x%3D1")


@pytest.mark.parametrize("ticket", [".", ".."])
def test_a_ticket_of_dots_names_no_other_address(tracker: Tracker, ticket: str) -> None:
    assert Tickets().ask(by_url(tracker), ticket, "ada").standing is Standing.UNANSWERED
    assert tracker.asked == []


def test_the_token_goes_to_the_tracker_and_stands_in_no_setting(tracker: Tracker, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("secret-of-ours\n")
    profile = by_url(tracker, ticket_token_file=str(file))
    assert Tickets().ask(profile, "T-1", "ada").standing is Standing.OPEN
    assert tracker.tokens == ["Bearer secret-of-ours"]
    assert "secret-of-ours" not in json.dumps(profile.to_json())
    file.unlink()
    assert Tickets().ask(profile, "T-1", "ada").standing is Standing.UNANSWERED


@pytest.mark.parametrize(
    ("answer", "standing"),
    [
        ('{"open": true, "people": ["Ada"]}', Standing.OPEN),
        ("", Standing.OPEN),
        ('{"open": false}', Standing.CLOSED),
        ("exit 1", Standing.CLOSED),
        ("exit 2", Standing.UNANSWERED),
        ("no json", Standing.UNANSWERED),
        ("exec print('x' * 200_000)", Standing.UNANSWERED),
        ("exec import os, signal; os.kill(os.getpid(), signal.SIGTERM)", Standing.UNANSWERED),
    ],
    ids=["json", "silent", "closed", "one", "two", "words", "much", "killed"],
)
def test_a_command_answers_by_its_exit_code_and_json(tmp_path: Path, answer: str, standing: Standing) -> None:
    profile = by_command(tmp_path)
    (tmp_path / "T-1").write_text(answer)
    assert Tickets().ask(profile, "T-1", "ada").standing is standing


@pytest.mark.parametrize("ticket", ["$(touch pwned)", "T-1; touch pwned", "a b", "`x`", "T'1"])
def test_a_ticket_is_one_argument_of_the_command_and_reaches_no_shell(tmp_path: Path, ticket: str) -> None:
    profile = by_command(tmp_path)
    assert Tickets().ask(profile, ticket, "ada").standing is Standing.CLOSED
    assert json.loads((tmp_path / "asked").read_text()) == [ticket, "ada"]
    assert not list(tmp_path.glob("pwned*"))


def test_a_ticket_is_never_an_option_of_the_command(tmp_path: Path) -> None:
    assert Tickets().ask(by_command(tmp_path), "--force", "ada").standing is Standing.UNANSWERED
    assert not (tmp_path / "asked").exists()


def test_a_command_that_hangs_is_killed_with_what_it_started(tmp_path: Path) -> None:
    profile = by_command(tmp_path, ticket_timeout_seconds=1)
    (tmp_path / "T-1").write_text("exec import subprocess; subprocess.run(['sleep', '600'])")
    seen = Tickets().ask(profile, "T-1", "ada")
    assert seen.standing is Standing.UNANSWERED
    assert "longer than 1 seconds" in seen.why


def test_a_command_sees_nothing_of_the_servers_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_TOKEN", "secret")
    profile = by_command(tmp_path)
    (tmp_path / "T-1").write_text("exec import os; print(json.dumps({'open': 'JUPYTER_TOKEN' not in os.environ}))")
    assert Tickets().ask(profile, "T-1", "ada").standing is Standing.OPEN


def test_a_command_does_not_run_in_the_servers_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`jupyter audit lab` is started among the notebooks, where a cell could leave a .git/config or a module for it."""
    monkeypatch.chdir(tmp_path)
    profile = by_command(tmp_path)
    (tmp_path / "T-1").write_text("exec import os; print(json.dumps({'open': os.getcwd() == '/'}))")
    assert Tickets().ask(profile, "T-1", "ada").standing is Standing.OPEN


def test_whoever_may_not_ask_does_not_reach_the_tracker(tmp_path: Path, clock: SetClock, tracker: Tracker) -> None:
    house = house_of(tmp_path, clock, ticket_url=tracker.template)
    with pytest.raises(AccessError):
        house.ask("eve")
    assert tracker.asked == []
    house.close()


@pytest.mark.parametrize(
    "profile",
    [
        {"ticket_url": "ftp://t/{ticket}"},
        {"ticket_url": "http://{ticket}/x"},
        {"ticket_url": "http://t/x"},
        {"ticket_url": "http://u:p@t/{ticket}"},
        {"ticket_url": "http://t/{ticket}/{other}"},
        {"ticket_url": "http://t:x/{ticket}"},
        {"ticket_url": 3},
        {"ticket_command": ["tracker", "{ticket}"]},
        {"ticket_command": ["/bin/tracker"]},
        {"ticket_command": ["/bin/sh", "-c", "x {ticket}"]},
        {"ticket_command": "/bin/tracker {ticket}"},
        {"ticket_command": ["/bin/t", "{ticket}"], "ticket_url": "http://t/{ticket}"},
        {"ends_with_ticket": True},
        {"ticket_token_file": "/x"},
        {"ticket_token_file": "x", "ticket_url": "http://t/{ticket}"},
    ],
    ids=range(15),
)
def test_a_check_that_could_not_work_is_refused_at_start(profile: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"ticket"):
        Policy.from_settings(JupyterAudit(profiles={"p": profile}))


def test_an_answer_is_judged_strictly() -> None:
    with pytest.raises(NoAnswerError):
        judge({"open": None}, "ada")
    assert judge({"open": True, "people": []}, "ada").standing is Standing.ANOTHERS


def test_a_running_grant_ends_with_its_ticket_and_outlives_a_silent_tracker_for_the_grace_alone() -> None:
    assert why_it_ends(Seen(Standing.OPEN), "T-1", 0, 15) == ""
    assert "was closed" in why_it_ends(Seen(Standing.CLOSED), "T-1", 0, 15)
    assert "no longer theirs" in why_it_ends(Seen(Standing.ANOTHERS), "T-1", 0, 15)
    silent = Seen(Standing.UNANSWERED, "down")
    assert why_it_ends(silent, "T-1", 899, 15) == ""
    assert "15 minutes" in why_it_ends(silent, "T-1", 900, 15)


def test_the_server_revokes_once_and_says_why(tmp_path: Path, clock: SetClock) -> None:
    house = house_of(tmp_path, clock)
    grant = house.access.approve(house.person("cyn"), house.ask())
    (entry,) = house.access.end_with_ticket(grant.id, "The ticket T-1 was closed.")
    assert (entry.actor.name, entry.body["reason"]) == ("jupyter-audit", "The ticket T-1 was closed.")
    assert house.live() == set()
    assert house.access.end_with_ticket(grant.id, "again") == []
    house.close()
