"""The websocket of a language server: a program that the server starts as itself, some of them from its folder."""

from __future__ import annotations

from pathlib import Path

import websocket
from attack_house import Attacker, await_mark

CAUSES = {"no_such_address", "closed", "role"}


def strike(person: Attacker, mark: Path) -> bool:
    address = f"{person.url.replace('http', 'ws', 1)}/lsp/ws/trap"
    try:
        socket = websocket.create_connection(address, header=[f"Authorization: token {person.token}"], timeout=30)
    except websocket.WebSocketBadStatusException:
        return False
    # conftest.py has configured the plain server with one that only leaves this mark.
    await_mark(person.work / "language-server", "a language server")
    socket.close()
    return True
