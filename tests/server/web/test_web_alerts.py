"""Alerts over HTTP: who may see how they stand, and who may try them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from web_house import Person

People = Callable[[str | None], Person]


@pytest.mark.parametrize(
    ("name", "status"), [(None, 403), ("erin", 403), ("ana", 403), ("aude", 200), ("adam", 200), ("nina", 403)]
)
def test_how_alerts_stand_is_for_admins_and_auditors(person: People, name: str | None, status: int) -> None:
    answer = person(name).ask("GET", "alerts")
    assert answer.status_code == status
    if status == 200:
        assert (answer.json()["targets"], answer.json()["unheard"]) == ([], ["emergency"])


@pytest.mark.parametrize(
    ("name", "status"), [(None, 403), ("erin", 403), ("ana", 403), ("aude", 403), ("adam", 400), ("nina", 403)]
)
def test_admins_alone_try_alerts(person: People, name: str | None, status: int) -> None:
    # There is no target on this server, which an admin is told.
    assert person(name).ask("POST", "alerts/test", {}).status_code == status
