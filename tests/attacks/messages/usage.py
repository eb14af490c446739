"""The question for the kernel's processes and memory, after an earlier cell has replaced what answers it."""

from __future__ import annotations

from attack_house import Client, trap, untrap


def prepare(client: Client, code: str) -> None:
    trap(client, "usage_request", code, "control")


def strike(client: Client, code: str) -> str:
    return client.send("usage_request", {}, channel="control")


def clean_up(client: Client) -> None:
    untrap(client, "usage_request", "control")
