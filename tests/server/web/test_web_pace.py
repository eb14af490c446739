"""How often one person may act, how many requests of theirs may wait, and how long listings are read page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.servers import AuditedServer
from web_house import Person, shared_server

from jupyter_audit.errors import TooManyError
from jupyter_audit.server.pace import MINUTE_S, Pace

People = Callable[[str | None], Person]
ASKED = {"profile": "production-debug", "reason": "orders are charged twice", "ticket": "SHOP-1"}


class Ticks:
    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


@given(st.integers(1, 50), st.lists(st.floats(0, 30), max_size=200))
def test_no_more_than_twice_the_acts_of_a_minute_are_done_in_any_minute(per_minute: int, pauses: list[float]) -> None:
    ticks = Ticks()
    pace, done = Pace(per_minute, ticks), []
    for pause in pauses:
        ticks.at += pause
        try:
            pace.take("erin")
            done.append(ticks.at)
        except TooManyError as error:
            ticks.at += error.retry_after
            pace.take("erin")  # as it was told
            done.append(ticks.at)
    for begin in done:
        assert sum(begin <= moment < begin + MINUTE_S for moment in done) <= 2 * per_minute


def test_all_of_a_minutes_acts_may_come_at_once_and_no_spelling_of_a_name_has_its_own() -> None:
    pace = Pace(5, Ticks())
    for name in ("erin", "Erin", "ERIN", "erin", "erin"):
        pace.take(name)
    with pytest.raises(TooManyError) as refused:
        pace.take("ERIN")
    assert refused.value.retry_after == 12
    pace.take("otto")


def test_it_remembers_no_more_people_than_it_may() -> None:
    pace = Pace(5, Ticks(), most_people=10)
    for number in range(1000):
        pace.take(f"person {number}")
    assert len(pace) == 10


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedServer]:
    options = ("--JupyterAudit.requests_per_minute=6", "--JupyterAudit.pending_requests=2")
    with shared_server(Path(tmp_path_factory.mktemp("strict")), *options) as running:
        yield running


def test_who_asks_too_often_is_told_when_to_come_back_and_who_stops_others_is_not_held_up(strict: AuditedServer) -> None:
    erin, ana = Person(strict, "erin"), Person(strict, "ana")
    first = erin.post("requests", **ASKED)["id"]
    second = erin.post("requests", **ASKED)["id"]
    crowded = erin.ask("POST", "requests", ASKED)
    assert (crowded.status_code, crowded.json()["code"]) == (409, "access")
    assert "as many as may" in crowded.json()["detail"]
    ana.post(f"requests/{second}/deny", reason="one is enough")
    grant = ana.post(f"requests/{first}/approve")["id"]
    entries = strict.reader.size()
    answers = [erin.ask("POST", f"requests/{second}/withdraw", {}) for _ in range(8)]
    assert [answer.status_code for answer in answers] == [409] * 3 + [429] * 5
    assert answers[-1].json()["code"] == "too_many"
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 10
    assert strict.reader.size() == entries + 3, "what came too often filled the ledger"
    assert erin.get("status")["grant"]["id"] == grant
    # She has approved once. A limit must not stop whoever stops an incident.
    for _ in range(10):
        assert ana.ask("POST", f"grants/{grant}/revoke", {"reason": "stop it"}).status_code in (200, 409)
        ana.post("revoke-everyone", reason="stop it all")


@pytest.mark.parametrize("listing", ["requests?state=all", "grants?live=false"])
def test_a_listing_is_read_page_by_page_and_nothing_is_missed_or_doubled(person: People, listing: str) -> None:
    otto, ana = person("otto"), person("ana")
    for _ in range(3):
        ana.post(f"requests/{otto.post('requests', **ASKED)['id']}/approve")
    name = listing.partition("?")[0]
    whole = otto.get(f"{listing}&limit=500")
    assert whole["next"] is None
    rows: list[dict[str, Any]] = []
    after = ""
    while True:
        page = otto.get(f"{listing}&limit=2{after}")
        rows += page[name]
        if page["next"] is None:
            break
        assert len(page[name]) == 2
        after = f"&after={page['next']}"
        # What is made meanwhile is newer, and belongs to no page that follows.
        otto.post("requests", **ASKED)
    assert [row["id"] for row in rows] == [row["id"] for row in whole[name]]
