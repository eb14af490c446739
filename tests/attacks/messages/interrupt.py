"""An interrupt, after an earlier cell has put code in the place of what a signal does."""

from __future__ import annotations

from attack_house import Client

NEEDS_NO_GRANT = True
ITS_END_STRIKES_TOO = True
"""The end of a session interrupts its kernel first, so the mark may be there by that; the message is refused all the same."""


def prepare(client: Client, code: str) -> None:
    # A kernel puts this handler back after each cell.
    client.run(f"get_ipython().kernel.saved_sigint_handler = lambda *_: exec({code!r})")


def strike(client: Client, code: str) -> str:
    return client.send("interrupt_request", {}, channel="control")


def clean_up(client: Client) -> None:
    client.run("import signal; get_ipython().kernel.saved_sigint_handler = signal.SIG_IGN")
