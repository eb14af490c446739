"""A shutdown by a message, after an earlier cell has replaced what it does."""

from __future__ import annotations

from attack_house import Client, trap, untrap

REFUSED = "never_passed"

def prepare(client: Client, code: str) -> None:
    trap(client, "shutdown_request", code, "control")


def strike(client: Client, code: str) -> str:
    return client.send("shutdown_request", {"restart": False}, channel="control")


def clean_up(client: Client) -> None:
    untrap(client, "shutdown_request", "control")
