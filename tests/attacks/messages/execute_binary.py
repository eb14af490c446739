"""A cell in a binary frame of the default protocol, as clients send one that has buffers."""

from __future__ import annotations

import json
import struct

from attack_house import Client, cell


def strike(client: Client, code: str) -> str:
    header = client.execute_header()
    whole = {"header": header, "parent_header": {}, "metadata": {}, "channel": "shell", "content": cell(code)}
    text = json.dumps(whole).encode()
    client.socket.send_binary(struct.pack("!III", 2, 12, 12 + len(text)) + text + b"a buffer")
    return str(header["msg_id"])
