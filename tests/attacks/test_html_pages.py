"""
Pages in the notebook folder, which anybody there can write and a cell, too: opened from the server, they must not script its origin.

Jupyter shows them without an origin of their own (`sandbox`, without `allow-same-origin`): from there nothing can be asked of the
server in the name of whoever looks. It does so on a plain server as well; what is held here is that an audited one does.
"""

from __future__ import annotations

import re
import urllib.request
from typing import Any

import pytest
from attack_house import Attacker, Team

SCRIPT = "<script xmlns='http://www.w3.org/1999/xhtml'>fetch('/api/kernels', {method: 'POST'})</script>"
PAGES = {
    "page.html": f"<html><body>{SCRIPT}</body></html>",
    "page.xhtml": f"<html xmlns='http://www.w3.org/1999/xhtml'><body>{SCRIPT}</body></html>",
    "page.svg": f"<svg xmlns='http://www.w3.org/2000/svg'>{SCRIPT}</svg>",
}
TRAP = {
    "cells": [{"cell_type": "markdown", "id": "a", "metadata": {}, "source": SCRIPT}],
    "metadata": {}, "nbformat": 4, "nbformat_minor": 5,
}  # fmt: skip


def opened(person: Attacker, path: str) -> tuple[str, str]:
    """Return the content security policy and the text of a page that a browser would show."""
    asked = urllib.request.Request(person.url + path, headers={"Authorization": f"token {person.token}"})
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return str(answer.headers["Content-Security-Policy"]), answer.read().decode()


def assert_without_origin(words: str) -> None:
    """Fail unless a `sandbox`, of a header or a frame, takes a page's origin away."""
    assert words.split() == ["allow-scripts"], words


def look_at_all(writer: Attacker, reader: Attacker) -> None:
    """Have one person write every page and another open it, every way there is."""
    for name, content in PAGES.items():
        status, answer = writer.request("PUT", f"/api/contents/{name}", {"type": "file", "format": "text", "content": content})
        assert status < 300, answer
        policy, text = opened(reader, f"/files/{name}")
        assert text == content
        assert_without_origin(sandbox_in(policy))
        _, around = opened(reader, f"/view/{name}")
        assert "fetch(" not in around
        [frame] = re.findall(r"<iframe[^>]*>", around)
        assert_without_origin(re.findall(r'sandbox="([^"]*)"', frame)[0])
    status, answer = writer.request("PUT", "/api/contents/page.ipynb", {"type": "notebook", "content": TRAP})
    assert status < 300, answer
    policy, text = opened(reader, "/nbconvert/html/page.ipynb")
    assert "<html" in text
    assert_without_origin(sandbox_in(policy))


def sandbox_in(policy: str) -> str:
    """Return the words of a policy's `sandbox`."""
    [words] = [part.strip().removeprefix("sandbox ") for part in policy.split(";") if part.strip().startswith("sandbox")]
    return words


def test_on_a_plain_server_a_page_of_the_notebook_folder_has_no_origin_either(plain: Attacker) -> None:
    look_at_all(plain, plain)


@pytest.mark.parametrize("name", ["nora", "ella", "otto", "gina"])
def test_a_page_of_the_notebook_folder_has_no_origin_and_who_put_it_there_is_put_down(team: Team, name: str, ended: Any) -> None:
    after = team.server.reader.size()
    look_at_all(team.person(name), team.person("gina"))
    written = {e.body["path"]: e.actor.name for e in team.server.entries("file.changed", start=after)}
    assert written == dict.fromkeys((*PAGES, "page.ipynb"), name)
