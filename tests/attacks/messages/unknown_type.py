"""A message of a type that only an earlier cell's handler knows."""

from __future__ import annotations

from attack_house import Client, trap, untrap

REFUSED = "unknown_type"

def prepare(client: Client, code: str) -> None:
    trap(client, "a_type_of_my_own", code, "shell")


def strike(client: Client, code: str) -> str:
    return client.send("a_type_of_my_own", {}, channel="shell")


def clean_up(client: Client) -> None:
    untrap(client, "a_type_of_my_own", "shell")
