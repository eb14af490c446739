"""A cell whose parent is null: a message that is short of a part, and runs all the same."""

from __future__ import annotations

import json
import uuid

from attack_house import Client, cell


def strike(client: Client, code: str) -> str:
    msg_id = uuid.uuid4().hex
    header = {"msg_id": msg_id, "msg_type": "execute_request", "username": "", "session": client.session,
              "date": "2026-01-01T00:00:00Z", "version": "5.4"}  # fmt: skip
    whole = {"header": header, "parent_header": None, "metadata": {}, "channel": "shell", "buffers": [], "content": cell(code)}
    client.socket.send(json.dumps(whole))
    return msg_id
