"""A function of ipyparallel's, which a kernel unpacks and calls."""

from __future__ import annotations

from attack_house import Client, trap, untrap

REFUSED = "never_passed"

def prepare(client: Client, code: str) -> None:
    trap(client, "apply_request", code, "shell")


def strike(client: Client, code: str) -> str:
    return client.send("apply_request", {}, channel="shell")


def clean_up(client: Client) -> None:
    untrap(client, "apply_request", "shell")
