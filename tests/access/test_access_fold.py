"""Entries that do not follow from those before them give nothing and are listed; caches decide nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from access_house import House

from jupyter_audit.access.book import GrantBook
from jupyter_audit.clock import format_time
from jupyter_audit.errors import RollbackError
from jupyter_audit.model import Actor, Draft
from jupyter_audit.record import kinds

NEW_GRANT = "g-0123456789ab"


def approval(
    house: House, request: str, *, by: str = "bob", grant: str | None = NEW_GRANT, **changed: Any
) -> Draft:
    """Return an approval as the service would write it, but for what is changed."""
    now = house.clock.now()
    body = {
        "request": request,
        "principal": "ada",
        "vouched_by": "test",
        "profile": "production-debug",
        "not_before": format_time(now),
        "not_after": format_time(now + timedelta(minutes=30)),
        "self_approved": False,
        "solo": False,
    }
    return Draft("access.approved", {**body, **changed}, actor=Actor(by, "test"), grant=grant)


def test_the_approval_that_the_next_tests_spoil_is_good(house: House) -> None:
    house.put_down(approval(house, house.ask()))
    assert house.live() == {NEW_GRANT}
    assert house.book.anomalies() == []


def with_request(draft: Draft, request: Any) -> Draft:
    return replace(draft, body={**draft.body, "request": request})


def without_solo(draft: Draft) -> Draft:
    return replace(draft, body={name: value for name, value in draft.body.items() if name != "solo"})


MOMENT = "2026-11-24T09:00:00.000000Z"

SPOILED: dict[str, Callable[[House, str], Draft]] = {
    "for longer than was asked": lambda h, r: approval(h, r, not_after="2026-11-24T09:30:00.000001Z"),
    "for longer than any may be": lambda h, r: approval(h, r, not_after="2026-11-24T17:00:00.000001Z"),
    "for no time": lambda h, r: approval(h, r, not_after=MOMENT),
    "for less than no time": lambda h, r: approval(h, r, not_after="2026-11-24T08:00:00.000000Z"),
    "from before": lambda h, r: approval(
        h, r, not_before="2026-11-24T08:59:00.000000Z", not_after="2026-11-24T09:29:00.000000Z"
    ),
    "of somebody else": lambda h, r: approval(h, r, principal="eve"),
    "of a name that somebody else vouches for": lambda h, r: approval(h, r, vouched_by="elsewhere"),
    "of another profile": lambda h, r: approval(h, r, profile="recovery"),
    "of no request": lambda h, r: approval(h, "r-ffffffffffff"),
    "without a grant": lambda h, r: approval(h, r, grant=None),
    "by the requester, unsaid": lambda h, r: approval(h, r, by="ada"),
    "by the requester spelled otherwise, unsaid": lambda h, r: approval(h, r, by="ADA"),
    "by another, said to be the requester": lambda h, r: approval(h, r, self_approved=True),
    "with a time in another form": lambda h, r: approval(h, r, not_after="2026-11-24T09:10:00Z"),
    "with a time that is none": lambda h, r: approval(h, r, not_after="soon"),
    "with a number for a time": lambda h, r: approval(h, r, not_after=2**40),
    "with a word for a truth": lambda h, r: approval(h, r, self_approved="no"),
    "with a list for a request": lambda h, r: with_request(approval(h, r), [r]),
    "without a field": lambda h, r: without_solo(approval(h, r)),
    "empty": lambda h, r: replace(approval(h, r), body={}),
}  # fmt: skip


@pytest.mark.parametrize("spoiled", SPOILED)
def test_an_approval_gives_no_grant_if_it_is(house: House, spoiled: str) -> None:
    request = house.ask(minutes=30)
    (entry,) = house.put_down(SPOILED[spoiled](house, request))
    assert house.live() == house.live("eve") == set()
    assert [anomaly.seq for anomaly in house.book.anomalies()] == [entry.seq]
    still = house.book.request(request)
    assert still is not None
    assert still.answered is None


def test_a_second_approval_gives_no_second_grant(house: House) -> None:
    request = house.ask()
    first = house.access.approve(house.person("bob"), request)
    house.put_down(approval(house, request))
    assert house.live() == {first.id}
    assert len(house.book.anomalies()) == 1


def test_an_approval_under_an_older_grants_name_does_not_renew_it(house: House) -> None:
    first = house.access.approve(house.person("bob"), house.ask(minutes=1))
    house.clock.pass_time(60)
    house.put_down(approval(house, house.ask(), grant=first.id))
    assert house.live() == set()


@pytest.mark.parametrize("answer", ["denied", "withdrawn", "lapsed"])
def test_an_approval_after_the_end_of_its_request_gives_nothing(house: House, answer: str) -> None:
    request = house.ask()
    if answer == "denied":
        house.access.deny(house.person("bob"), request, "no")
    elif answer == "withdrawn":
        house.access.withdraw(house.person("ada"), request)
    else:
        house.clock.pass_time(3600)
    house.put_down(approval(house, request))
    assert house.live() == set()
    assert len(house.book.anomalies()) == 1


def test_setting_the_clock_back_revives_no_lapsed_request(house: House) -> None:
    request = house.ask()
    house.clock.pass_time(3600)
    house.access.expire()
    house.clock.set_by(-1800)
    house.put_down(approval(house, request))
    assert house.live() == set()
    assert house.book.grants() == []


def test_a_revocation_holds_whatever_is_put_down_after_it(house: House) -> None:
    request = house.ask()
    grant = house.access.approve(house.person("bob"), request)
    house.access.revoke(house.person("bob"), grant.id, "enough")
    house.put_down(approval(house, request, grant=grant.id), approval(house, request))
    house.put_down(kinds.draft(kinds.AccessRevoked("me too"), actor=Actor("eve", "test"), grant=grant.id))
    assert house.live() == set()
    ended = house.book.grant(grant.id)
    assert ended is not None
    assert ended.ended_by == "bob"


REQUESTED = {
    "request": "r-1",
    "profile": "p",
    "reason": "r",
    "ticket": "t",
    "duration_s": 60,
    "lapses": MOMENT,
}


@pytest.mark.parametrize(
    "draft",
    [
        Draft("access.requested", {"request": "r-1"}),
        Draft("access.requested", {**REQUESTED, "duration_s": 10**6}),
        Draft("access.requested", {**REQUESTED, "duration_s": True}),
        Draft("access.requested", {**REQUESTED, "reason": ["r"]}),
        Draft("access.revoked", {"reason": "x"}, grant="g-nothing"),
        Draft("access.revoked", {"reason": "x"}),
        Draft("access.expired", {"not_after": MOMENT}, grant="g-nothing"),
        Draft("access.lapsed", {"request": "r-nothing"}),
        Draft("access.denied", {"request": "r-nothing", "reason": "x"}),
    ],
)  # fmt: skip
def test_what_refers_to_nothing_or_says_nonsense_is_an_anomaly(house: House, draft: Draft) -> None:
    house.put_down(draft)
    house.now()
    assert len(house.book.anomalies()) == 1
    assert house.book.all_requests() == house.book.grants() == []


def test_somebody_elses_withdrawal_is_an_anomaly(house: House) -> None:
    request = house.ask()
    house.put_down(kinds.draft(kinds.AccessWithdrawn(request), actor=Actor("eve", "test")))
    house.access.approve(house.person("bob"), request)
    assert len(house.live()) == 1


def test_an_expiry_put_down_too_early_neither_ends_the_grant_nor_is_put_down_for_ever(house: House) -> None:
    grant = house.access.approve(house.person("bob"), house.ask(minutes=10))
    house.put_down(kinds.draft(kinds.AccessExpired(format_time(grant.not_after)), grant=grant.id))
    assert house.live() == {grant.id}
    house.clock.pass_time(600)
    assert house.live() == set()
    assert house.access.expire() == []


def test_setting_the_clock_back_lengthens_nothing(house: House) -> None:
    grant = house.access.approve(house.person("bob"), house.ask(minutes=10))
    house.clock.pass_time(300)
    assert house.live() == {grant.id}
    house.clock.set_by(-86_400)
    assert house.live() == {grant.id}
    house.clock.pass_time(299)
    assert house.live() == {grant.id}
    house.clock.pass_time(1)
    assert house.live() == set()


def test_a_clock_that_was_ahead_for_a_moment_gives_no_grant_that_lasts_until_then(house: House) -> None:
    house.clock.set_by(86_400)
    house.ask()
    house.clock.set_by(-86_400)
    grant = house.access.approve(house.person("bob"), house.ask(minutes=10))
    assert house.live() == {grant.id}
    house.clock.pass_time(601)
    assert house.live() == set()


@pytest.mark.parametrize("others", [1, 100])
def test_a_new_book_takes_the_newest_entry_of_any_kind_for_the_time(house: House, others: int) -> None:
    house.access.approve(house.person("bob"), house.ask(minutes=10))
    house.clock.pass_time(600)
    house.put_down(*[Draft("server.stopped", {"server": "x"})] * others)
    house.clock.set_by(-600)
    book = GrantBook(monotonic=house.clock.monotonic)
    book.refresh(house.ledger)
    assert book.live("ada", book.now(house.clock.now())) == ()


def test_a_book_dropped_and_rebuilt_says_the_same(house: House) -> None:
    for number in range(40):
        request = house.ask(minutes=5)
        if number % 3:
            grant = house.access.approve(house.person("bob"), request)
            if number % 3 == 1:
                house.access.revoke(house.person("ada"), grant.id, "done")
        house.clock.pass_time(60)
        house.now()
    rebuilt = GrantBook(monotonic=house.clock.monotonic)
    rebuilt.refresh(house.ledger)
    now = house.now()
    assert rebuilt.now(house.clock.now()) == now
    assert rebuilt.grants() == house.book.grants()
    assert rebuilt.all_requests() == house.book.all_requests()
    assert rebuilt.live("ada", now) == house.book.live("ada", now) != ()
    assert rebuilt.requests(now) == house.book.requests(now)
    assert rebuilt.unnoticed_ends(now) == house.book.unnoticed_ends(now)


def test_a_ledger_that_became_shorter_is_not_read_on(house: House) -> None:
    house.ask()
    house.now()

    class Shorter:
        def size(self) -> int:
            return 1

    with pytest.raises(RollbackError):
        house.book.refresh(Shorter())  # type: ignore[arg-type]


def test_what_another_process_appends_is_seen(house: House) -> None:
    book = GrantBook()
    book.refresh(house.ledger)
    request = house.ask()
    entries = list(house.ledger.entries(types=("access.requested",)))
    book.take(entries)
    assert book.request(request) is not None
    book.take(entries)
    assert book.anomalies() == []


def test_what_this_process_appended_is_not_read_back_and_what_another_appended_is(house: House) -> None:
    book = GrantBook()
    book.refresh(house.ledger)
    heard = house.ask()
    book.hear(list(house.ledger.entries(start=1)))

    class Unread:
        origin = house.ledger.origin

        def size(self) -> int:
            return house.ledger.size()

    book.refresh(Unread())  # type: ignore[arg-type]
    assert book.request(heard) is not None
    missed, late = house.ask(), house.ask()
    book.hear(list(house.ledger.entries(start=house.ledger.size() - 1)))
    book.refresh(house.ledger)
    assert book.request(missed) is not None
    assert book.request(late) is not None
    book.hear(list(house.ledger.entries(start=1)))
    book.refresh(house.ledger)
    assert book.anomalies() == []
