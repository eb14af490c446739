"""A client that reads its hundred megabytes of output gets every byte of them, and the ledger has the size and digest of the same."""

from __future__ import annotations

import hashlib
import hmac
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.servers import V1, AuditedServer, KernelClient, audited_server

from jupyter_audit.model import Entry

PIECES, PIECE = 50, 2_000_000
WRITING = textwrap.dedent(f"""
    import base64, hashlib, os, sys
    from IPython.display import display
    whole = hashlib.sha256()
    def piece():
        text = base64.b64encode(os.urandom({PIECE // 4 * 3})).decode()
        whole.update(text.encode())
        return text
""")
PRINTING = f"for _ in range({PIECES}):\n    sys.stdout.write(piece()); sys.stdout.flush()"
SHOWING = f"for _ in range({PIECES}):\n    display({{'text/plain': piece()}}, raw=True)"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedServer]:
    """One whose admin lifted Jupyter's own limit of a megabyte a second."""
    with audited_server(Path(tmp_path_factory.mktemp("large")), "--ZMQChannelsWebsocketConnection.limit_rate=False") as running:
        yield running


def shown(message: dict[str, Any]) -> bytes:
    """Return what a message shows."""
    content: dict[str, Any] = message["content"]
    text: str = {"stream": content.get("text"), "display_data": content.get("data", {}).get("text/plain")}[message["header"]["msg_type"]]
    return text.encode()


def read_to_the_end(client: KernelClient, sent: str) -> Iterator[dict[str, Any]]:
    """Yield the outputs of a cell as they come, until the kernel is idle; keep none of them."""
    while True:
        message = client.receive()
        client.heard.clear()
        if message["parent_header"].get("msg_id") != sent:
            continue
        if message["header"]["msg_type"] in ("stream", "display_data"):
            yield message
        if message["content"].get("execution_state") == "idle":
            return


def finished(server: AuditedServer, sent: str) -> tuple[Entry, dict[str, Any]]:
    """Return how a cell ended, and what was kept of its outputs."""
    entry = server.await_entry("cell.finished", lambda e: server.reader.entry(e.body["admitted"]).body["msg_id"] == sent)
    return entry, json.loads(server.reader.content(entry.seq, "outputs") or b"")


def digest_of(held: dict[str, Any], output: bytes) -> str:
    """Return the digest that is kept of an output."""
    return f"hmac-sha256:{hmac.new(bytes.fromhex(held['salt']), output, 'sha256').hexdigest()}"


@pytest.mark.parametrize("protocol", [None, V1], ids=["default", "v1"])
def test_every_byte_of_what_is_printed_arrives_and_the_ledger_says_how_much_it_was_and_its_digest(
    server: AuditedServer, grant: str, protocol: str | None
) -> None:
    client = server.kernel(protocol)
    client.run(WRITING)
    sent = client.execute(PRINTING)
    whole = b"".join(shown(message) for message in read_to_the_end(client, sent))
    assert len(whole) == PIECES * PIECE
    assert client.printed("print(whole.hexdigest())") == f"{hashlib.sha256(whole).hexdigest()}\n"
    entry, held = finished(server, sent)
    [stream] = held["outputs"]
    # What is kept is the beginning, which is said; the digest is over the whole.
    assert (stream["bytes"], stream["cut"], entry.body["complete"]) == (len(whole), True, True)
    assert stream["preview"] == whole[:8192].decode()
    assert stream["digest"] == digest_of(held, whole)


def test_every_byte_of_what_is_displayed_arrives_and_each_display_has_its_size_and_digest(server: AuditedServer, grant: str) -> None:
    client = server.kernel()
    client.run(WRITING)
    sent = client.execute(SHOWING)
    pieces = [shown(message) for message in read_to_the_end(client, sent)]
    assert client.printed("print(whole.hexdigest())") == f"{hashlib.sha256(b''.join(pieces)).hexdigest()}\n"
    _, held = finished(server, sent)
    assert [(one["bytes"], one["cut"]) for one in held["outputs"]] == [(PIECE, True)] * PIECES
    assert [one["digest"] for one in held["outputs"]] == [digest_of(held, piece) for piece in pieces]
