"""A path that steps out of its folder on the way is outside, wherever it ends, so that nothing elsewhere shows through it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_audit.gate.inside import stays_inside

LINKS = {
    "within": ("folder", True),
    "folder/up": ("../plain", True),
    "folder/upper": ("..", True),
    "chain": ("folder/up", True),
    "dangling": ("not-there", True),
    "absolute": ("{root}/plain", True),
    "out": ("..", False),
    "out-and-back": ("../work/plain", False),
    "by-another": ("{root}/../other/secret/../../work/plain", False),
    "by-nobody": ("{root}/../other/not-there/../../work/plain", False),
    "elsewhere": ("{root}/../other/secret", False),
    "alike": ("{root}er", False),
    "loop": ("loop", False),
    "through": ("out/work/plain", False),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = Path(tmp_path_factory.mktemp("inside"))
    root = base / "work"
    (root / "folder").mkdir(parents=True)
    (root / "plain").touch()
    (base / "other" / "secret").mkdir(parents=True)
    (base / "link-to-work").symlink_to("work")
    for name, (target, _) in LINKS.items():
        (root / name).symlink_to(target.format(root=root))
    return root


@pytest.mark.parametrize("name", LINKS)
def test_a_link_stays_inside_or_not(root: Path, name: str) -> None:
    assert stays_inside(str(root / name), str(root)) is LINKS[name][1]


@pytest.mark.parametrize(("path", "inside"), [("", True), ("new/file", True), ("folder/../plain", True), ("../work/plain", True),
                                              ("../other/secret", False), ("..", False)])  # fmt: skip
def test_a_path_is_taken_as_it_is_written(root: Path, path: str, inside: bool) -> None:
    """Nothing is looked up of what `..` takes back again."""
    assert stays_inside(f"{root}/{path}", str(root)) is inside


def test_a_folder_that_is_a_link_itself_is_known_by_either_name(root: Path) -> None:
    linked = str(root.parent / "link-to-work")
    for folder in (linked, str(root)):
        assert stays_inside(f"{linked}/folder/up", linked)
        assert stays_inside(f"{root}/absolute", folder)
    assert not stays_inside(f"{linked}/elsewhere", linked)


@given(st.lists(st.sampled_from([*LINKS, "..", ".", "folder", "plain", "not-there"]), max_size=6))
def test_what_stays_inside_ends_inside(root: Path, parts: list[str]) -> None:
    path = os.path.normpath(root.joinpath(*parts))
    if stays_inside(path, str(root)):
        real = os.path.realpath(path)
        assert real == str(root) or real.startswith(f"{root}/")
