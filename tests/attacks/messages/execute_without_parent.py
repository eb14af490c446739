"""A cell whose parent is null: a message that is short of a part, and runs all the same."""

from __future__ import annotations

import json

from attack_house import Client, cell


def strike(client: Client, code: str) -> str:
    header = client.execute_header()
    whole = {"header": header, "parent_header": None, "metadata": {}, "channel": "shell", "buffers": [], "content": cell(code)}
    client.socket.send(json.dumps(whole))
    return str(header["msg_id"])
