"""The question whether a cell is complete, which runs the input transformers of earlier cells."""

from __future__ import annotations

from attack_house import Client


def prepare(client: Client, code: str) -> None:
    client.run(
        f"def trap(lines):\n    if 'ask' in ''.join(lines): exec({code!r})\n    return lines\n"
        "get_ipython().input_transformer_manager.cleanup_transforms.append(trap)"
    )


def strike(client: Client, code: str) -> str:
    return client.send("is_complete_request", {"code": "ask"})
