"""A terminal: a shell as the server's own account, with nothing in between."""

from __future__ import annotations

from pathlib import Path

import websocket
from attack_house import Attacker, await_mark

CAUSES = {"no_such_address", "closed", "role"}


def strike(person: Attacker, mark: Path) -> bool:
    status, model = person.request("POST", "/api/terminals", {})
    if status >= 400:
        return False
    address = f"{person.url.replace('http', 'ws', 1)}/terminals/websocket/{model['name']}"
    shell = websocket.create_connection(address, header=[f"Authorization: token {person.token}"], timeout=30)
    shell.send(f'["stdin", "touch {mark}\\r"]')
    await_mark(mark, "a terminal's command")
    shell.close()
    return True
