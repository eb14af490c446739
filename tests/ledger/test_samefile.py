"""Which file stands at a path: told apart as `stat` tells them apart, with `statx` and without it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jupyter_audit.ledger import samefile
from jupyter_audit.ledger.samefile import identify


@pytest.fixture(params=["statx", "stat"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "stat":
        monkeypatch.setattr(samefile, "_statx", None)


def test_a_file_is_the_same_by_each_of_its_names_and_after_it_was_written(tmp_path: Path) -> None:
    first, second, link = (tmp_path / name for name in ("fürst", "second", "link"))
    first.write_text("a")
    known = identify(os.fsencode(first))
    second.hardlink_to(first)
    link.symlink_to(first)
    first.write_text("b")

    assert {identify(os.fsencode(path)) for path in (first, second, link)} == {known}
    assert known[1] == first.stat().st_ino


def test_another_file_in_its_place_is_another_and_none_is_an_error(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path / "ledger.db")
    (tmp_path / "ledger.db").write_text("a")
    (tmp_path / "other").write_text("a")
    known = identify(path)

    (tmp_path / "other").replace(tmp_path / "ledger.db")

    assert identify(path) != known
    (tmp_path / "ledger.db").unlink()
    with pytest.raises(FileNotFoundError):
        identify(path)
    (tmp_path / "folder").write_text("")
    with pytest.raises(NotADirectoryError):
        identify(os.fsencode(tmp_path / "folder" / "ledger.db"))


def test_the_same_inode_on_another_device_is_another_file() -> None:
    assert identify(b"/proc")[0] != identify(b"/")[0]
