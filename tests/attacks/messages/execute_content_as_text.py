"""A cell whose content is a text that holds JSON: Jupyter Server passes it on unread, and the kernel reads it."""

from __future__ import annotations

import json

from attack_house import Client, cell

MALFORMED = True


def strike(client: Client, code: str) -> str:
    return client.send_raw(content=json.dumps(cell(code)))
