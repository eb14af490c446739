"""What a profile for services may not have, and that no name is taken for a group."""

from __future__ import annotations

from typing import Any

import pytest

from jupyter_audit.access.policy import names_one
from jupyter_audit.access.profiles import parse_profile
from jupyter_audit.errors import ConfigError


@pytest.mark.parametrize("key", ["self_approval", "break_glass", "recovery", "terminals", "longest_minutes"])
def test_a_profile_for_services_is_short_and_narrow(key: str) -> None:
    value: Any = 61 if key == "longest_minutes" else True
    with pytest.raises(ConfigError, match=key):
        parse_profile("agents", {"services": True, key: value})


def test_somebody_named_like_a_group_or_a_scope_is_not_in_it() -> None:
    lists = ["group:leads", "scope:custom:approve", "ann"]
    for name in ("group:leads", "scope:custom:approve", "*"):
        assert not names_one(lists, name, ())
    assert names_one(lists, "x", {"leads"})
    assert names_one(lists, "x", {"scope:custom:approve"})
    assert not names_one(lists, "x", {"custom:approve"})
    assert not names_one(["group:scope:x"], "x", {"scope:x"})
    assert names_one(lists, "ann", ())
