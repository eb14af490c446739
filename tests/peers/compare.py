"""
Compare two runs of one suite, test by test: nothing may fail with our classes that passes without them, unless a reason stands.

    compare.py PLAIN.xml OURS.xml DIFFERENCES

Takes two reports in JUnit's format, and a file with a line for each difference that is known: how the test's name begins, a tab,
the reason. Exits with 1 for a failure without a reason. A reason that explained nothing this
time is shown: some tests hang on timing.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree


def outcomes(report: Path) -> dict[str, str]:
    """Return each test's outcome: passed, skipped or failed (an error while setting up or clearing away is one)."""
    found: dict[str, str] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        tags = {child.tag for child in case}
        outcome = "failed" if tags & {"failure", "error"} else "skipped" if "skipped" in tags else "passed"
        if found.get(name) != "failed":
            found[name] = outcome
    return found


def failures(report: Path, name: str) -> list[str]:
    """Return what pytest said of a test's failures: one that depends on the moment may not come again."""
    cases = [c for c in ElementTree.parse(report).iter("testcase") if f"{c.get('classname')}::{c.get('name')}" == name]
    return [child.text or "" for case in cases for child in case if child.tag in ("failure", "error")]


def reasons(differences: Path) -> dict[str, str]:
    """Return the beginning of a test's name → why it may fail with our classes."""
    lines = [line for line in differences.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("\t", 1) for line in lines)


def counted(run: dict[str, str]) -> str:
    """Return how many tests had which outcome, in words."""
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(Counter(run.values()).items(), key=lambda of: of[0] != "passed"))


def main(plain_report: str, our_report: str, differences: str) -> int:
    """Print the comparison; return the exit code."""
    plain, ours, why = outcomes(Path(plain_report)), outcomes(Path(our_report)), reasons(Path(differences))
    print(f"plain: {counted(plain)}\nours:  {counted(ours)}")
    lost = [name for name, outcome in plain.items() if outcome == "passed" and ours.get(name) != "passed"]
    used: Counter[str] = Counter()
    unexplained = []
    for name in lost:
        begins = next((begin for begin in why if name.startswith(begin)), None)
        if begins is None:
            unexplained.append(name)
        else:
            used[begins] += 1
    for begins, count in used.items():
        print(f"differs, with a reason ({count}): {begins}: {why[begins]}")
    for name in unexplained:
        print(f"DIFFERS WITHOUT A REASON: {name}: {ours.get(name, 'not run')}", *failures(Path(our_report), name), sep="\n")
    for begins in (begins for begins in why if not used[begins]):
        print(f"not needed this time: {begins}")
    return 1 if unexplained or not plain else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
