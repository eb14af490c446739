"""
Fixtures for the web faces.

- `house`: an audited server that several people share, each with a token and a role of their own.
- `person`: somebody's client of it, every answer of which is held against openapi.yaml.
- `erins_server`: the server as erin's kernels reach it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.servers import AuditedServer
from web_house import TOKENS, Person, shared_server


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedServer]:
    with shared_server(Path(tmp_path_factory.mktemp("house"))) as running:
        yield running


@pytest.fixture
def person(house: AuditedServer) -> Callable[[str | None], Person]:
    return lambda name: Person(house, name)


@pytest.fixture
def erins_server(house: AuditedServer) -> AuditedServer:
    return replace(house, token=TOKENS["erin"])
