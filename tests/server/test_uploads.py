"""What the contents manager puts down of uploads in pieces; through a server they are tried in tests/attacks/test_files_written.py."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import encodebytes
from pathlib import Path
from typing import Any

import pytest
from tornado import web

from jupyter_audit.record import kinds
from jupyter_audit.server.contents import AuditContentsManager

FULL = OSError(28, "No space left on device")


class Uploads:
    """A contents manager on a folder, and what it put down."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.manager = AuditContentsManager(root_dir=str(folder))
        self.said: list[kinds.FileChanged] = []
        monkeypatch.setattr(self.manager, "_put_down", self.said.append)

    def put(self, content: bytes, piece: Any, form: str = "base64", kind: str = "file") -> None:
        text = content.decode() if form == "text" else encodebytes(content).decode()
        model = {"type": kind, "format": form, "content": text, "chunk": piece}
        asyncio.run(self.manager.save(model, "up.bin"))

    @property
    def facts(self) -> list[tuple[int, int, str]]:
        return [(one.piece, one.bytes, one.sha256) for one in self.said]


@pytest.fixture
def uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Uploads:
    return Uploads(tmp_path, monkeypatch)


def append(path: Path, some: bytes) -> None:
    with path.open("ab") as file:
        file.write(some)


def facts_of(piece: int, content: bytes) -> tuple[int, int, str]:
    return piece, len(content), hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("form", ["base64", "text"])
def test_an_upload_that_never_ends_is_known_by_its_pieces_and_one_that_ends_by_the_whole_too(uploads: Uploads, form: str) -> None:
    pieces = [b"one\r\n" * 99, "zwölf".encode(), b"3"]
    for number, piece in enumerate(pieces, 1):
        uploads.put(piece, number, form)
    assert uploads.facts == [facts_of(number, piece) for number, piece in enumerate(pieces, 1)]
    assert (uploads.folder / "up.bin").read_bytes() == b"".join(pieces)
    uploads.put(b"end", -1, form)
    assert uploads.facts[3:] == [facts_of(-1, b"".join(pieces) + b"end")]


def test_a_file_that_is_saved_whole_is_no_piece(uploads: Uploads) -> None:
    uploads.put(b"whole", None)
    assert uploads.facts == [facts_of(0, b"whole")]


@pytest.mark.parametrize("number", [0, -2, 1.5, True, "1", [], 2**31], ids=repr)
def test_what_is_no_number_of_a_piece_is_refused_and_writes_nothing(uploads: Uploads, number: Any) -> None:
    with pytest.raises(web.HTTPError, match="400"):
        uploads.put(b"x", number)
    assert not uploads.said
    assert not (uploads.folder / "up.bin").exists()


@pytest.mark.parametrize("written", [b"par", b""], ids=["in part", "not at all"])
def test_a_piece_of_which_only_a_part_could_be_written_is_put_down_as_the_file_that_stands_there(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch, written: bytes
) -> None:
    uploads.put(b"first,", 1)

    async def fill_up(os_path: str, content: str, form: str) -> None:
        append(Path(os_path), written)
        raise FULL

    monkeypatch.setattr(uploads.manager, "_save_large_file", fill_up)
    with pytest.raises(web.HTTPError, match="No space left"):
        uploads.put(b"partly", 2)
    assert uploads.facts[1:] == ([facts_of(0, b"first,par")] if written else [])


def test_a_file_whose_hook_fails_after_it_was_saved_is_put_down(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**arguments: Any) -> None:
        raise ValueError

    uploads.manager.register_post_save_hook(fail)
    with pytest.raises(web.HTTPError, match="500"):
        uploads.put(b"whole", None)
    assert uploads.facts == [facts_of(0, b"whole")]


def test_what_is_refused_before_it_is_written_is_not_put_down(uploads: Uploads) -> None:
    with pytest.raises(web.HTTPError, match="400"):
        uploads.put(b"x", 2, kind="notebook")
    assert not uploads.said
