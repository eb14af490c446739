"""A cell may write into the notebook folder. Nothing it puts there lets anybody at what lies elsewhere."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from support.servers import AuditedServer, audited_server

from jupyter_audit.server.contents import LeavesFolderError, check_inside

CELL = '{"cell_type": "markdown", "id": "a", "metadata": {}, "source": ["# A title"]}'
NOTEBOOK = f'{{"cells": [{CELL}], "metadata": {{}}, "nbformat": 4, "nbformat_minor": 5}}'


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedServer]:
    with audited_server(Path(tmp_path_factory.mktemp("linked"))) as running:
        (running.work / "key").symlink_to(running.home.signing_key)
        (running.work / "keys").symlink_to(running.home.signing_key.parent)
        (running.work / "up").symlink_to("../audit")
        (running.work / "memory").symlink_to(f"/proc/{running.process.pid}/environ")
        (running.work / "nowhere.txt").symlink_to(running.home.path / "new.txt")
        (running.work / "plain.txt").write_text("plain")
        (running.work / "folder").mkdir()
        (running.work / "folder" / "inside.txt").write_text("inside")
        (running.work / "within").symlink_to("folder")
        (running.work / ".hidden").write_text("hidden")
        (running.folder / "elsewhere").mkdir()
        (running.folder / "elsewhere" / "secret.txt").write_text("secret")
        for name in ("elsewhere", "not-there"):
            (running.work / f"by-{name}").symlink_to(running.folder / name / ".." / "work" / "plain.txt")
        yield running


@pytest.mark.parametrize("path", ["key", "keys/ledger.key", "up/keys/ledger.key", "memory", "folder/../key"])
@pytest.mark.parametrize("road", ["/api/contents/", "/files/", "/view/", "/nbconvert/html/"])
def test_a_link_out_of_the_folder_is_not_read(linked: AuditedServer, road: str, path: str) -> None:
    status, answer = linked.request("GET", road + path)
    assert status in (403, 404)
    assert linked.home.signing_key.read_text().strip() not in str(answer)


def test_nothing_is_written_through_a_link(linked: AuditedServer) -> None:
    before = linked.home.signing_key.read_bytes()
    text = {"type": "file", "format": "text", "content": "mine"}
    for path in ("key", "keys/ledger.key", "up/remembered.checkpoint", "keys/new", "nowhere.txt"):
        assert linked.request("PUT", f"/api/contents/{path}", text)[0] == 403, path
    assert linked.request("PATCH", "/api/contents/plain.txt", {"path": "keys/plain.txt"})[0] == 403
    assert linked.request("PATCH", "/api/contents/keys/ledger.key", {"path": "stolen.txt"})[0] == 403
    assert linked.request("POST", "/api/contents", {"copy_from": "keys/ledger.key"})[0] == 403
    assert linked.request("POST", "/api/contents/up", {"type": "file"})[0] == 403
    assert linked.request("DELETE", "/api/contents/keys/ledger.key")[0] == 403
    assert linked.home.signing_key.read_bytes() == before
    assert sorted(path.name for path in linked.home.signing_key.parent.iterdir()) == [
        "ledger.key",
        "ledger.vkey",
    ]


def test_checkpoints_are_not_taken_elsewhere(linked: AuditedServer) -> None:
    place = linked.work / "checked"
    place.mkdir()
    (place / "a.ipynb").write_text(NOTEBOOK)
    (place / ".ipynb_checkpoints").symlink_to(linked.home.path)
    assert linked.request("POST", "/api/contents/checked/a.ipynb/checkpoints")[0] == 403
    assert not (linked.home.path / "a-checkpoint.ipynb").exists()


def test_what_lies_inside_works_as_ever_links_included(linked: AuditedServer) -> None:
    assert linked.request("GET", "/api/contents/within/inside.txt")[1]["content"] == "inside"
    assert linked.request("GET", "/files/within/inside.txt") == (200, "inside")
    status, _ = linked.request("GET", "/files/plain.txt", headers={"Range": "bytes=1-2"})
    assert status == 206
    assert linked.request("GET", "/files/plain.txt", headers={"Range": "bytes=1-2"})[1] == "la"
    listed = {one["name"] for one in linked.request("GET", "/api/contents")[1]["content"]}
    assert {"plain.txt", "folder", "within"} <= listed
    assert not {"key", "keys", "up", "memory"} & listed
    saved = {"type": "notebook", "content": {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}}
    assert linked.request("PUT", "/api/contents/folder/n.ipynb", saved)[0] == 201
    assert linked.request("POST", "/api/contents/folder/n.ipynb/checkpoints")[0] == 201
    assert linked.request("PATCH", "/api/contents/folder/n.ipynb", {"path": "folder/m.ipynb"})[0] == 200
    assert linked.request("GET", "/nbconvert/html/folder/m.ipynb")[0] == 200
    assert linked.request("DELETE", "/api/contents/folder/m.ipynb")[0] == 204


def test_a_link_that_is_put_there_after_the_look_is_not_read_either(linked: AuditedServer) -> None:
    """A cell swaps a file for a link, over and over, while the file is asked for."""
    swapped, innocent = linked.work / "swapped", linked.work / "innocent"
    innocent.write_text("innocent")
    done = threading.Event()

    def swap() -> None:
        staged = linked.work / "staged"
        while not done.is_set():
            for target in (linked.home.verifier_key, innocent):
                staged.symlink_to(target)
                staged.replace(swapped)

    secret = linked.home.verifier_key.read_text().strip()
    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(60):
            for road in ("/api/contents/swapped", "/files/swapped"):
                assert secret not in str(linked.request("GET", road)[1])
    finally:
        done.set()
        thread.join()


def resolved(server: AuditedServer, path: str, kernel: str) -> dict[str, str]:
    """Return what the server says of a path, by who says it."""
    status, answer = server.request("GET", f"/api/resolvePath?path={quote(path)}&kernel={kernel}")
    assert (status, set(answer)) == (200, {"resolved"}), (path, answer)
    return {found["scope"]: found["path"] for found in answer["resolved"]}


def test_whether_a_file_is_there_is_told_only_of_what_can_be_seen_anyway(linked: AuditedServer) -> None:
    kernel = linked.request("POST", "/api/kernels", {"name": "audit"})[1]["id"]
    inside, root = linked.work / "folder" / "inside.txt", linked.folder
    assert resolved(linked, str(inside), kernel) == {"server": "folder/inside.txt", "kernel": str(inside)}
    assert resolved(linked, "within/inside.txt", kernel) == {"server": "within/inside.txt", "kernel": f"{linked.work}/within/inside.txt"}
    assert resolved(linked, os.__file__, kernel) == {"kernel": os.path.normpath(os.__file__)}, "a traceback's path leads to its file"
    assert resolved(linked, f"{linked.work}/.hidden", kernel) == {"kernel": f"{linked.work}/.hidden"}
    unseen = [
        "/etc/passwd", "~", "~root", "~nobody-of-that-name/x", "/proc/1/cmdline", "../elsewhere/secret.txt", "a\0b", "x" * 5000,
        str(root / "elsewhere" / "secret.txt"), str(linked.home.signing_key), str(linked.home.run / "sessions"), "key", "keys", "up",
        "memory", str(linked.work / "key"), "by-elsewhere", "by-not-there", str(linked.work / "by-elsewhere"),
        f"{sys.prefix}/../{root.name}", "/tmp",
    ]  # fmt: skip
    assert {path: resolved(linked, path, kernel) for path in unseen} == {path: {} for path in unseen}
    # What is there and what is not look alike, on the Contents API, too.
    assert [linked.request("GET", f"/api/contents/by-{name}")[0] for name in ("elsewhere", "not-there")] == [403, 403]
    linked.request("DELETE", f"/api/kernels/{kernel}")


@pytest.mark.parametrize("form", ["pdf", "webpdf", "latex", "script", "rst", "asciidoc", "qtpdf", "custom"])
def test_no_export_that_starts_a_program_or_imports_what_a_notebook_names(
    linked: AuditedServer, form: str
) -> None:
    (linked.work / "e.ipynb").write_text(NOTEBOOK)
    status, answer = linked.request("GET", f"/nbconvert/{form}/e.ipynb")
    assert status == 403, answer


@pytest.mark.parametrize("form", ["html", "markdown", "notebook", "python", "slides"])
def test_exports_that_only_fill_a_template_are_made(linked: AuditedServer, form: str) -> None:
    (linked.work / "e.ipynb").write_text(NOTEBOOK)
    assert linked.request("GET", f"/nbconvert/{form}/e.ipynb")[0] == 200


def test_a_folder_whose_name_begins_alike_is_outside(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "workshop").mkdir()
    check_inside(str(tmp_path / "work" / "x"), str(tmp_path / "work"), "x")
    with pytest.raises(LeavesFolderError, match="x leads out"):
        check_inside(str(tmp_path / "workshop" / "x"), str(tmp_path / "work"), "x")
