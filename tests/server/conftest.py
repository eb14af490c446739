"""
Fixtures for tests of a running server.

- `server`: one audited server in solo mode for all tests of a module; its ledger is verified at the end.
- `grant`: a live grant on it, revoked after the test (which ends the kernels that used it).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.servers import AuditedServer, audited_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedServer]:
    with audited_server(Path(tmp_path_factory.mktemp("server"))) as running:
        yield running


@pytest.fixture
def grant(server: AuditedServer) -> Iterator[str]:
    made = server.grant()
    yield made
    if any(g["id"] == made and g["state"] == "active" for g in server.api("GET", "grants")["grants"]):
        server.revoke(made)
