"""
Fixtures for tests of the audit kernel without a server.

- `terms`: a session's id and signing key.
- `audited`: a running audit kernel and a client that signs a permit for each of its messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.kernels import AuditedKernel, Terms, connect, start


@pytest.fixture
def terms() -> Terms:
    return Terms()


@pytest.fixture
def audited(tmp_path: Path, terms: Terms) -> Iterator[AuditedKernel]:
    manager = start(tmp_path / "kernel", terms)
    client = connect(manager, terms)
    yield AuditedKernel(client, terms, manager)
    client.stop_channels()
    manager.shutdown_kernel(now=True)
