"""The question where the kernel's ports are, after an earlier cell has replaced what answers it."""

from __future__ import annotations

from attack_house import Client, trap, untrap

REFUSED = "never_passed"

def prepare(client: Client, code: str) -> None:
    trap(client, "connect_request", code, "shell")


def strike(client: Client, code: str) -> str:
    return client.send("connect_request", {}, channel="shell")


def clean_up(client: Client) -> None:
    untrap(client, "connect_request", "shell")
