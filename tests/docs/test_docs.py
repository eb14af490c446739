"""The documentation says what the code does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")


def test_the_reference_pages_are_those_that_the_code_gives() -> None:
    made = subprocess.run(
        [sys.executable, "-P", str(ROOT / "docs" / "generate.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    coming = [ROOT / "README.md"]
    while coming:
        page = coming.pop().resolve()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        coming += [page.parent / target for target in LINK.findall(page.read_text(encoding="utf-8"))]
    assert not {page.resolve() for page in PAGES} - reached


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_file_that_a_page_names_exists(page: Path) -> None:
    for target in re.findall(r"`(tests/[\w/]+\.py)`", page.read_text(encoding="utf-8")):
        assert (ROOT / target).is_file(), f"{page.name} names {target}"
