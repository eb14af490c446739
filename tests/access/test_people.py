"""The people file: who is in it, what they log in with, and that nothing but what the ledger says counts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from access_house import House, SetClock

from jupyter_audit.access import people as listed
from jupyter_audit.access.people import People, Person, PersonKind, matches, parse_people, split_token, with_password, with_token
from jupyter_audit.access.peoplefile import PeopleWatch, accept_people, change_people, digest_in_force, load_people
from jupyter_audit.errors import ConfigError, KeyFileError, LedgerError, UsageError
from jupyter_audit.model import Principal, Role
from jupyter_audit.record import kinds

SERVICES = {"production-debug": {}, "agents": {"services": True}}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path, SetClock(), profiles=SERVICES, roles={"engineer": ["*"], "approver": ["ada", "bob", "bot"]})
    yield made
    made.close()


def put_down(house: House) -> Callable[[Sequence[kinds.Kind]], object]:
    return lambda said: house.put_down(*[kinds.draft(kind) for kind in said])


def add(house: House, person: Person) -> None:
    def change(before: People, write: Callable[[People], str]) -> Sequence[kinds.Kind]:
        digest = write(before.added(person))
        return [kinds.PeopleAdded(person.name, person.kind.value, list(person.groups), person.on_behalf_of, "token", digest)]

    change_people(house.home, house.ledger, change, put_down(house))


def test_only_hashes_are_kept_and_the_right_secret_matches(house: House) -> None:
    ada, token = with_token(with_password(Person("ada"), "correct horse battery"))
    token_id, secret = split_token(token)
    add(house, ada)
    kept = load_people(house.home, house.ledger).get("ada")
    assert kept == ada
    assert kept.token.startswith("$argon2id$")
    assert kept.password.startswith("$argon2id$")
    text = house.home.people.read_text()
    assert secret not in text
    assert "correct horse" not in text
    assert (house.home.people.stat().st_mode & 0o777) == 0o600
    assert matches(kept.token, secret)
    assert matches(kept.password, "correct horse battery")
    assert not matches(kept.token, secret[:-1])
    assert not matches(kept.password, secret)
    assert not matches("", "")
    assert token_id == kept.token_id


def test_a_file_changed_by_hand_or_put_back_counts_for_nobody_until_it_is_accepted(house: House) -> None:
    add(house, Person("ada"))
    old = house.home.people.read_bytes()
    add(house, Person("bob"))
    watch = PeopleWatch(house.home)
    assert set(watch.current(house.ledger).by_name) == {"ada", "bob"}
    house.home.people.write_bytes(old)
    for load in (lambda: load_people(house.home, house.ledger), lambda: watch.current(house.ledger)):
        with pytest.raises(ConfigError, match="not what the ledger says"):
            load()
    with pytest.raises(ConfigError):
        add(house, Person("cyn"))
    accept_people(house.home, house.ledger, put_down(house))
    assert house.newest()["people"] == ["ada"]
    assert set(watch.current(house.ledger).by_name) == {"ada"}


def test_a_file_that_no_entry_speaks_of_counts_for_nobody(house: House) -> None:
    house.home.people.write_bytes(People({"eve": Person("eve")}).dump())
    house.home.people.chmod(0o600)
    with pytest.raises(ConfigError, match="was not made by"):
        load_people(house.home, house.ledger)


def test_a_file_that_others_can_read_counts_for_nobody(house: House) -> None:
    add(house, Person("ada"))
    watch = PeopleWatch(house.home)
    assert watch.current(house.ledger).by_name
    house.home.people.chmod(0o644)
    with pytest.raises(KeyFileError, match="open to other accounts"):
        watch.current(house.ledger)
    house.home.people.unlink()
    house.home.people.symlink_to(house.home.path / "elsewhere")
    with pytest.raises(KeyFileError):
        watch.current(house.ledger)


def test_a_crash_between_the_entry_and_the_file_loses_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    add(house, Person("ada"))
    watch = PeopleWatch(house.home)
    watch.current(house.ledger)

    def crash(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            add(house, Person("bob"))
    assert set(watch.current(house.ledger).by_name) == {"ada", "bob"}
    add(house, Person("cyn"))
    assert set(json.loads(house.home.people.read_text())["people"]) == {"ada", "bob", "cyn"}
    assert not house.home.next_people.exists()


def test_what_cannot_be_put_down_changes_nothing(house: House) -> None:
    add(house, Person("ada"))
    digest = digest_in_force(house.ledger)

    def fail(said: Sequence[kinds.Kind]) -> None:
        raise LedgerError("the disk is full")

    def change(before: People, write: Callable[[People], str]) -> Sequence[kinds.Kind]:
        return [kinds.PeopleRemoved("ada", write(before.removed(["ada"])))]

    with pytest.raises(LedgerError):
        change_people(house.home, house.ledger, change, fail)
    assert digest_in_force(house.ledger) == digest
    assert set(load_people(house.home, house.ledger).by_name) == {"ada"}
    assert not house.home.next_people.exists()


@pytest.mark.parametrize("name", ["", " ada", "a\nda", "*", "group:leads", "scope:x", "jupyter-audit", "x" * 101], ids=repr)
def test_no_name_means_something_else(name: str) -> None:
    with pytest.raises(UsageError):
        listed.person_name(name)


def test_two_spellings_of_one_name_are_one_person() -> None:
    with pytest.raises(UsageError, match="taken for one person"):
        People().added(Person("ada")).added(Person("Ada"))


def test_a_service_needs_a_person_and_has_no_password() -> None:
    team = People().added(Person("ada"))
    bot = Person("bot", PersonKind.SERVICE, on_behalf_of="ada")
    assert team.added(bot).services_of("ada") == [bot]
    for on_behalf_of in ("", "nobody", "bot"):
        with pytest.raises(UsageError, match="on behalf of a person"):
            team.added(bot).added(Person("bot2", PersonKind.SERVICE, on_behalf_of=on_behalf_of))
    with pytest.raises(UsageError, match="no password"):
        with_password(bot, "correct horse battery")


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"version":2,"people":{}}', b'{"version":1,"people":{"a":{}}}'], ids=repr)
def test_what_is_no_people_file_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(ConfigError):
        parse_people(data)


# --- services among the rules ---------------------------------------------------------------------


def service(house: House, name: str = "bot", on_behalf_of: str = "ada") -> Principal:
    roles = house.policy.roles_of(name)
    return Principal(name, "test", roles, on_behalf_of=on_behalf_of)


def test_a_service_asks_on_behalf_of_somebody_who_cannot_say_yes_themselves(house: House) -> None:
    asked = house.access.request(service(house), profile="agents", reason="look at stuck orders", ticket="T-1")
    assert house.newest()["on_behalf_of"] == "ada"
    entry = house.ledger.entry(house.ledger.size() - 1)
    assert (entry.actor.name, entry.actor.vouched_by) == ("bot", "test, on behalf of ada")
    with pytest.raises(Exception, match="own request"):
        house.access.approve(house.person("ada"), asked.id)
    with pytest.raises(Exception, match="own request"):
        house.access.approve(house.person("Ada".lower()), asked.id)
    grant = house.access.approve(house.person("bob"), asked.id)
    assert (grant.principal, house.live("bot")) == ("bot", {grant.id})


def test_an_approval_by_whom_the_service_acts_for_makes_no_grant_even_if_it_is_written(house: House) -> None:
    asked = house.access.request(service(house), profile="agents", reason="look at stuck orders", ticket="T-1")
    from jupyter_audit.clock import format_time
    from jupyter_audit.model import Actor

    now = house.clock.now()
    forged = kinds.AccessApproved(
        request=asked.id, principal="bot", vouched_by=asked.vouched_by, profile="agents", not_before=format_time(now),
        not_after=format_time(now + asked.duration), self_approved=False, solo=False,
    )  # fmt: skip
    house.put_down(kinds.draft(forged, actor=Actor("ada", "test"), grant="g-1"))
    assert house.live("bot") == set()


def test_a_service_never_answers(house: House) -> None:
    asked = house.ask("cyn")
    bot = service(house, on_behalf_of="ada")
    assert Role.APPROVER in bot.roles  # even if somebody gave it the role
    for act in (lambda: house.access.approve(bot, asked), lambda: house.access.deny(bot, asked, "no")):
        with pytest.raises(Exception, match="no service answers"):
            act()


def test_services_and_people_have_profiles_of_their_own(house: House) -> None:
    with pytest.raises(Exception, match="it is for people"):
        house.access.request(service(house), profile="production-debug", reason="look at stuck orders", ticket="T-1")
    with pytest.raises(Exception, match="it is for services"):
        house.ask("cyn", profile="agents")
    assert house.policy.profile("agents").longest_minutes == 60
