"""Which notebooks a profile is for: patterns are refused that cannot mean what they say, and only one spelling is covered."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_audit.access.notebooks import covers, outside, spelled
from jupyter_audit.access.policy import Policy
from jupyter_audit.access.policycases import judge, parse_cases
from jupyter_audit.access.profiles import parse_profile
from jupyter_audit.clock import SystemClock
from jupyter_audit.errors import ConfigError
from jupyter_audit.gate.notebooks import NotebookError, check_may_open
from jupyter_audit.settings import JupyterAudit

COVERED = [
    ("a.ipynb", "a.ipynb"),
    ("*.ipynb", "a.ipynb"),
    ("orders/*.ipynb", "orders/a.ipynb"),
    ("orders/**", "orders/a.ipynb"),
    ("orders/**", "orders/deep/er/a.ipynb"),
    ("**/a.ipynb", "a.ipynb"),
    ("**/a.ipynb", "x/y/a.ipynb"),
    ("**", "x/y/a.ipynb"),
    ("x/**/y/**/a.ipynb", "x/y/a.ipynb"),
    ("run-[0-9].ipynb", "run-7.ipynb"),
    ("?.ipynb", "ä.ipynb"),
    ("orders/a.ipynb", "RTC:orders/a.ipynb"),
]

NOT_COVERED = [
    ("*.ipynb", "orders/a.ipynb"),
    ("orders/*.ipynb", "orders/deep/a.ipynb"),
    ("orders/**", "Orders/a.ipynb"),
    ("orders/**", "orders.ipynb"),
    ("a.ipynb", "orders/a.ipynb"),
    ("**", ""),
    ("**", "../a.ipynb"),
    ("orders/**", "orders/../private/a.ipynb"),
    ("orders/**", "./orders/a.ipynb"),
    ("orders/**", "orders//a.ipynb"),
    ("orders/**", "/orders/a.ipynb"),
    ("**", "/etc/passwd"),
    ("**", "S3:orders/a.ipynb"),
    ("**", "RTC:RTC:orders/a.ipynb"),
    ("**", "orders\\a.ipynb"),
    ("**", "orders/a\n.ipynb"),
    ("**", "orders/a\u202e.ipynb"),
    ("**", "a" * 1001),
    ("orders/é.ipynb", "orders/e\u0301.ipynb"),
]


@pytest.mark.parametrize(("pattern", "path"), COVERED)
def test_a_pattern_covers(pattern: str, path: str) -> None:
    assert covers([pattern], spelled(path))


@pytest.mark.parametrize(("pattern", "path"), NOT_COVERED, ids=range(len(NOT_COVERED)))
def test_a_pattern_does_not_cover(pattern: str, path: str) -> None:
    assert not covers([pattern], spelled(path))


@pytest.mark.parametrize("path", [None, 7, ["a"], {"a": 1}], ids=str)
def test_what_is_no_path_is_covered_by_nothing(path: Any) -> None:
    assert not covers(["**"], spelled(path))


@given(st.lists(st.sampled_from(["**", "a*", "*", "b"]), min_size=1, max_size=40), st.lists(st.sampled_from("ab"), max_size=60))
def test_no_pattern_takes_long_and_all_agree_with_a_plain_reading(pattern: list[str], names: list[str]) -> None:
    def plain(left: int, right: int, known: dict[tuple[int, int], bool]) -> bool:
        if (left, right) not in known:
            if left == len(pattern):
                known[left, right] = right == len(names)
            elif pattern[left] == "**":
                known[left, right] = plain(left + 1, right, known) or (right < len(names) and plain(left, right + 1, known))
            else:
                fits = right < len(names) and pattern[left] in ("*", names[right], f"{names[right]}*")
                known[left, right] = fits and plain(left + 1, right + 1, known)
        return known[left, right]

    assert covers(["/".join(pattern)], "/".join(names)) == (bool(names) and plain(0, 0, {}))


@pytest.mark.parametrize(
    "value",
    ["orders/**", [""], [7], ["/orders/a.ipynb"], ["orders/"], ["orders//a"], ["../a"], ["./a"], ["a\\b"], ["S3:a"], ["a**/b"],
     ["run-[0-9"], ["a\nb"], ["a" * 201], ["a"] * 101],
    ids=range(15),
)  # fmt: skip
def test_a_pattern_that_cannot_be_meant_is_refused_with_the_key_named(value: Any) -> None:
    with pytest.raises(ConfigError, match="notebooks") as refused:
        parse_profile("p", {"notebooks": value})
    assert refused.value.setting == ("profiles", "p", "notebooks")


def test_terminals_are_not_given_where_only_certain_notebooks_are_covered() -> None:
    with pytest.raises(ConfigError, match="terminals"):
        parse_profile("p", {"notebooks": ["a.ipynb"], "terminals": True})


PROFILES = {
    "orders": parse_profile("orders", {"notebooks": ["orders/**"]}),
    "shop": parse_profile("shop", {"notebooks": ["shop/**"], "kernels": ["audit"]}),
    "recovery": parse_profile("recovery", {"recovery": True}),
}


def test_every_name_of_what_a_kernel_is_used_for_must_be_covered() -> None:
    assert outside(PROFILES, ["orders/a.ipynb"]) == {"shop"}
    assert outside(PROFILES, ["orders/a.ipynb", "shop/b.ipynb"]) == {"orders", "shop"}
    assert outside(PROFILES, ["orders/link.ipynb", ""]) == {"orders", "shop"}
    assert outside(PROFILES, []) == {"orders", "shop"}


def test_without_a_grant_a_kernel_starts_where_a_profile_could_be_asked_for() -> None:
    check_may_open("audit", "shop/a.ipynb", [], PROFILES, {"orders"})
    with pytest.raises(NotebookError, match="Every profile is for certain notebooks") as refused:
        check_may_open("audit", "private/a.ipynb", [], PROFILES, {"orders", "shop"})
    assert "orders/**, shop/**" in refused.value.advice
    with pytest.raises(NotebookError, match="a kernel without a notebook"):
        check_may_open("audit", "", [], PROFILES, {"orders", "shop"})
    # For this kernel there is one profile less.
    with pytest.raises(NotebookError):
        check_may_open("r", "shop/a.ipynb", [], PROFILES, {"orders"})


def test_a_case_of_the_policy_can_be_about_a_notebook() -> None:
    policy = Policy.from_settings(JupyterAudit(roles={"engineer": ["ada"]}, profiles={"p": {"notebooks": ["orders/**"]}}))
    rows = [
        {"user": "ada", "profile": "p", "act": "open", "notebook": "orders/a.ipynb", "expect": "allowed"},
        {"user": "ada", "profile": "p", "act": "open", "notebook": "orders/../a.ipynb", "expect": "refused", "why": "orders/**"},
        {"user": "eve", "profile": "p", "act": "open", "notebook": "orders/a.ipynb", "expect": "refused"},
    ]

    def nothing_runs(*_: Any) -> Any:
        raise AssertionError("no case is about code")

    assert all(judge(policy, case, nothing_runs).passed for case in parse_cases(rows, SystemClock().now()))
