"""A running server sends its checkpoints, and what is left when it stops."""

from __future__ import annotations

import json
from pathlib import Path

from support.servers import audited_server, wait_for


def test_a_running_server_sends_checkpoints_and_the_last_one_as_it_stops(tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    options = (f"--JupyterAudit.anchors=file:{kept}", "--JupyterAudit.anchor_seconds=0.2")
    with audited_server(tmp_path, *options) as server:
        wait_for(kept.exists, "the first checkpoint to be sent")
        server.grant()
        size = server.reader.size()
        wait_for(lambda: json.loads(kept.read_text().splitlines()[-1])["size"] >= size, "the newest one")
    stopped = server.verify()
    assert json.loads(kept.read_text().splitlines()[-1])["size"] == stopped.entries
