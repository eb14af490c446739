"""ipyparallel's order to forget what ran."""

from __future__ import annotations

from attack_house import Client, trap, untrap

REFUSED = "never_passed"

def prepare(client: Client, code: str) -> None:
    trap(client, "clear_request", code, "shell")


def strike(client: Client, code: str) -> str:
    return client.send("clear_request", {}, channel="shell")


def clean_up(client: Client) -> None:
    untrap(client, "clear_request", "shell")
