"""A cell in a binary frame of the default protocol, as clients send one that has buffers."""

from __future__ import annotations

import json
import struct
import uuid

from attack_house import Client, cell


def strike(client: Client, code: str) -> str:
    msg_id = uuid.uuid4().hex
    header = {"msg_id": msg_id, "msg_type": "execute_request", "username": "", "session": client.session,
              "date": "2026-01-01T00:00:00Z", "version": "5.4"}  # fmt: skip
    whole = {"header": header, "parent_header": {}, "metadata": {}, "channel": "shell", "content": cell(code)}
    text = json.dumps(whole).encode()
    client.socket.send_binary(struct.pack("!III", 2, 12, 12 + len(text)) + text + b"a buffer")
    return msg_id
