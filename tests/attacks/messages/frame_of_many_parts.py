"""A cell in a frame of more parts than any message has."""

from __future__ import annotations

import json
import uuid

from attack_house import Client, cell
from support.servers import V1, frame_v1

SUBPROTOCOL = V1
MALFORMED = True


def strike(client: Client, code: str) -> str:
    msg_id = uuid.uuid4().hex
    header = {"msg_id": msg_id, "msg_type": "execute_request", "username": "", "session": client.session,
              "date": "2026-01-01T00:00:00Z", "version": "5.4"}  # fmt: skip
    parts = [json.dumps(part).encode() for part in (header, {}, {}, cell(code))]
    client.socket.send_binary(frame_v1("shell", [*parts, *[b""] * 10_000]))
    return msg_id
