"""A cell whose id is a number: no permit could name it, and no answer find it."""

from __future__ import annotations

import json

from attack_house import Client, cell

MALFORMED = True


def strike(client: Client, code: str) -> str:
    header = client.execute_header(msg_id=7)
    whole = {"header": header, "parent_header": {}, "metadata": {}, "channel": "shell", "buffers": [], "content": cell(code)}
    client.socket.send(json.dumps(whole))
    return ""
