"""A cell whose envelope says that it is a kernel_info_request: the kernel goes by the header."""

from __future__ import annotations

from attack_house import Client, cell


def strike(client: Client, code: str) -> str:
    return client.send_raw(content=cell(code), msg_type="kernel_info_request")
