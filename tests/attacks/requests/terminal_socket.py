"""The websocket of a terminal that is there already."""

from __future__ import annotations

from pathlib import Path

import websocket
from attack_house import Attacker

CAUSES = {"no_such_address", "closed", "role"}


def strike(person: Attacker, mark: Path) -> bool:
    person.request("POST", "/api/terminals", {"name": "1"})
    address = f"{person.url.replace('http', 'ws', 1)}/terminals/websocket/1"
    try:
        websocket.create_connection(address, header=[f"Authorization: token {person.token}"], timeout=30).close()
    except websocket.WebSocketBadStatusException:
        return False
    return True
