"""ipyparallel's order to take back cells that wait."""

from __future__ import annotations

from attack_house import Client, trap, untrap

REFUSED = "never_passed"

def prepare(client: Client, code: str) -> None:
    trap(client, "abort_request", code, "control")


def strike(client: Client, code: str) -> str:
    return client.send("abort_request", {}, channel="control")


def clean_up(client: Client) -> None:
    untrap(client, "abort_request", "control")
