"""Files that are written through the server and run later, by an import or a `%run`: who wrote what is in the ledger."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from typing import Any

import pytest
from attack_house import Attacker, Team, touch

from jupyter_audit.model import Entry


def changed(team: Team, path: str, action: str = "saved") -> Entry:
    """Return the newest entry about a file."""
    return team.server.await_entry("file.changed", lambda e: (e.body["path"], e.body["action"]) == (path, action))


def write(person: Attacker, path: str, text: str) -> int:
    return person.request("PUT", f"/api/contents/{path}", {"type": "file", "format": "text", "content": text})[0]


def test_a_module_that_was_uploaded_runs_in_a_plain_kernel(plain: Attacker) -> None:
    mark = plain.work / "plain-helper"
    assert write(plain, "plain_helper.py", touch(mark)) == 201
    kernel = plain.kernel()
    kernel.run("import plain_helper")
    assert mark.exists()


@pytest.mark.parametrize("name", ["nora", "ella", "otto", "gina"])
def test_a_module_that_was_uploaded_runs_only_by_a_cell_and_its_digest_came_first(
    team: Team, name: str, ended: Any
) -> None:
    person, mark = team.person(name), team.server.work / f"helper-{name}"
    text = touch(mark)
    assert write(person, f"helper_{name}.py", text) == 201
    entry = changed(team, f"helper_{name}.py")
    assert entry.actor.name == name
    assert (entry.body["bytes"], entry.body["sha256"]) == (len(text), hashlib.sha256(text.encode()).hexdigest())
    kernel = person.kernel()
    reply = kernel.run(f"import helper_{name}")
    assert (reply["status"] == "ok") == mark.exists() == (name in team.grants)
    kind = "cell.admitted" if name in team.grants else "cell.refused"
    cell = team.server.await_entry(kind, lambda e: e.body["kernel_id"] == kernel.kernel_id and not e.body.get("canary"))
    assert cell.seq > entry.seq
    person.request("DELETE", f"/api/kernels/{kernel.kernel_id}")


def test_what_is_renamed_deleted_restored_or_uploaded_in_pieces_is_put_down(team: Team) -> None:
    gina = team.person("gina")
    write(gina, "harmless.txt", "x = 1\n")
    assert gina.request("PATCH", "/api/contents/harmless.txt", {"path": "harmful.py"})[0] == 200
    assert changed(team, "harmful.py", "renamed").body["source"] == "harmless.txt"
    assert gina.request("DELETE", "/api/contents/harmful.py")[0] == 204
    assert changed(team, "harmful.py", "deleted").actor.name == "gina"
    write(gina, "twice.py", "first")
    assert gina.request("POST", "/api/contents/twice.py/checkpoints")[0] == 201
    write(gina, "twice.py", "second")
    second = team.server.await_entry("file.changed", lambda e: e.body["sha256"] == hashlib.sha256(b"second").hexdigest())
    assert gina.request("POST", "/api/contents/twice.py/checkpoints/checkpoint")[0] == 204
    first = hashlib.sha256(b"first").hexdigest()
    team.server.await_entry("file.changed", lambda e: e.seq > second.seq and e.body["sha256"] == first)
    for number, piece, known in ((1, b"first,", b"first,"), (2, b"next,", b"next,"), (-1, b"last", b"first,next,last")):
        body = {"type": "file", "format": "base64", "content": b64encode(piece).decode(), "chunk": number}
        assert gina.request("PUT", "/api/contents/pieces.bin", body)[0] in (200, 201)
        said = team.server.await_entry("file.changed", lambda e, n=number: (e.body["path"], e.body["piece"]) == ("pieces.bin", n)).body
        assert (said["bytes"], said["sha256"]) == (len(known), hashlib.sha256(known).hexdigest())
