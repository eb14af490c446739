"""A cell in a frame of more parts than any message has."""

from __future__ import annotations

import json

from attack_house import Client, cell
from support.servers import V1, frame_v1

SUBPROTOCOL = V1
MALFORMED = True


def strike(client: Client, code: str) -> str:
    header = client.execute_header()
    parts = [json.dumps(part).encode() for part in (header, {}, {}, cell(code))]
    client.socket.send_binary(frame_v1("shell", [*parts, *[b""] * 10_000]))
    return str(header["msg_id"])
