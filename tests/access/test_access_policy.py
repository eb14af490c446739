"""Settings that cannot be used are refused by name; what is not set is the least."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

from jupyter_audit.access.inwords import version
from jupyter_audit.access.policy import Policy
from jupyter_audit.access.policydiff import Recorded, as_far_as_known, changes
from jupyter_audit.errors import ConfigError, NotPermittedError
from jupyter_audit.model import Role
from jupyter_audit.server.identity import UserTokensIdentityProvider, identity_of
from jupyter_audit.settings import JupyterAudit


def policy(**settings: Any) -> Policy:
    return Policy.from_settings(JupyterAudit(**settings))


def test_without_settings_nobody_is_an_approver() -> None:
    made = policy()
    assert made.roles_of("ada") == {Role.ENGINEER}
    assert not made.solo


def test_solo_mode_gives_every_role() -> None:
    assert policy(solo=True).roles_of("ada") == set(Role)


def test_defaults_are_thirty_minutes_eight_hours_and_one_hour_of_waiting() -> None:
    profile = policy().profile("production-debug")
    assert (profile.default_minutes, profile.longest_minutes, profile.request_waits_minutes) == (30, 480, 60)


@pytest.mark.parametrize("profiles", [{}, {"recovery": {"recovery": True}}, {"x": {"recovery": True}}])
def test_a_recovery_profile_lasts_fifteen_minutes_unless_somebody_says_otherwise(profiles: Any) -> None:
    recovery = next(p for p in policy(profiles=profiles).profiles.values() if p.recovery)
    assert (recovery.default_minutes, recovery.longest_minutes) == (15, 15)


def test_a_shorter_longest_pulls_the_default_down() -> None:
    assert policy(profiles={"p": {"longest_minutes": 10}}).profile("p").default_minutes == 10


@pytest.mark.parametrize(
    ("profile", "key"),
    [
        ({"longest_minutes": 481}, "longest_minutes"),
        ({"longest_minutes": 0}, "longest_minutes"),
        ({"longest_minutes": True}, "longest_minutes"),
        ({"longest_minutes": 30.0}, "longest_minutes"),
        ({"longest_minutes": "30"}, "longest_minutes"),
        ({"default_minutes": 60, "longest_minutes": 30}, "default_minutes"),
        ({"request_waits_minutes": 61}, "request_waits_minutes"),
        ({"shortest_reason": -1}, "shortest_reason"),
        ({"ticket_pattern": "("}, "ticket_pattern"),
        ({"ticket_pattern": b"x"}, "ticket_pattern"),
        ({"ticket_pattern": None}, "ticket_pattern"),
        ({"self_approval": 1}, "self_approval"),
        ({"recovery": "yes"}, "recovery"),
        ({"kernels": "audit"}, "kernels"),
        ({"kernels": 3}, "kernels"),
        ({"kernels": [3]}, "kernels"),
        ({"longest_minuets": 30}, "longest_minuets"),
        ({"name": "other"}, "name"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(profile: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as refused:
        policy(profiles={"debug": profile})
    assert f"c.JupyterAudit.profiles['debug']['{key}']" in str(refused.value)


@pytest.mark.parametrize("profiles", [{"": {}}, {"a\nb": {}}, {"a": 3}, {"a": None}])
def test_a_profile_must_have_a_name_and_be_a_dictionary(profiles: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"c\.JupyterAudit\.profiles\["):
        policy(profiles=profiles)


def test_an_unknown_profile_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(NotPermittedError) as refused:
        policy().profile("root")
    assert "production-debug" in refused.value.advice


def test_the_digest_tells_two_policies_apart_and_equal_ones_not() -> None:
    assert policy().digest() == policy().digest()
    different = [
        policy(solo=True),
        policy(roles={"approver": ["x"]}),
        policy(profiles={"production-debug": {"longest_minutes": 479}}),
    ]
    assert len({made.digest() for made in [policy(), *different]}) == 4


def own_rules(folder: Path, name: str = "mine.yml", mode: int = 0o600) -> str:
    folder.mkdir(mode=0o700)
    (folder / name).write_text("title: x")
    (folder / name).chmod(mode)
    return str(folder)


def test_guardrails_that_are_not_there_or_not_safe_are_refused(tmp_path: Path) -> None:
    def guarded(guardrails: Any, **settings: Any) -> Policy:
        return policy(profiles={"p": {"guardrails": guardrails, **settings.pop("profile", {})}}, **settings)

    for given, told in [
        (["no_such"], "no such guardrail"),
        ({"no_shell": "maybe"}, "'guardrails'] must be"),
        ("no_shell", "'guardrails'] must be"),
        (["../x"], "'guardrails'] must be"),
    ]:
        with pytest.raises(ConfigError, match=told):
            guarded(given)
    with pytest.raises(ConfigError, match="terminals"):
        guarded(["no_shell"], profile={"terminals": True})
    with pytest.raises(ConfigError, match="can be changed by other accounts"):
        guarded(["mine"], guardrail_rules=own_rules(tmp_path / "open", mode=0o666))
    for name in ("no_shell.yml", "unreadable.yml", "Mine.yml"):
        with pytest.raises(ConfigError, match="guardrail"):
            guarded(["no_shell"], guardrail_rules=own_rules(tmp_path / name, name))
    with pytest.raises(ConfigError, match="full path of a folder"):
        guarded(["no_shell"], guardrail_rules="rules")


def test_an_edited_rule_is_another_policy_and_rules_to_acknowledge_anew(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"profiles": {"p": {"guardrails": ["mine"]}}, "guardrail_rules": own_rules(tmp_path / "rules")}
    before = policy(**settings)
    (tmp_path / "rules" / "mine.yml").write_text("title: y")
    after = policy(**settings)
    assert before.digest() != after.digest()
    assert version(before.profile("p")) != version(after.profile("p"))
    [change] = changes(before.to_json(), after.to_json())
    assert change.path == "/profiles/p/guardrails/mine/digest"


def test_every_setting_is_in_what_the_ledger_records_and_one_that_changes_shows() -> None:
    said = policy().to_json()
    kept = said["settings"]
    assert isinstance(kept, dict)
    missing = set(JupyterAudit.class_trait_names(config=True)) - set(kept) - set(said)
    assert missing == {"home"}
    looser = policy(isolation="none", allowed_kernels=["audit", "python3"], grace_seconds=60.5, preview_bytes=0)
    assert [str(change) for change in changes(said, looser.to_json())] == [
        '~ settings.allowed_kernels: ["audit"] -> ["audit", "python3"]',
        '~ settings.grace_seconds: "5" -> "60.5"',
        '~ settings.isolation: "auto" -> "none"',
        "~ settings.preview_bytes: 8192 -> 0",
    ]


def test_who_names_people_is_recorded_without_secrets_and_the_command_line_does_not_take_it_back() -> None:
    provider = UserTokensIdentityProvider()
    config = Config(UserTokensIdentityProvider={"digests": {"ann": "ab" * 32}}, IdentityProvider={"token": "s3cret"})
    identity = identity_of(provider, config)
    assert identity["provider"] == "jupyter_audit.server.identity.UserTokensIdentityProvider"
    assert identity["settings"] == {"IdentityProvider.token": "(set)", "UserTokensIdentityProvider.digests": {"ann": "(set)"}}
    served = replace(policy(), identity=identity)
    last = Recorded(1, served.to_json(), served.digest())
    assert as_far_as_known(policy(), last) == served.to_json()
    assert "identity" not in as_far_as_known(policy(), None)


@pytest.mark.parametrize(("given", "kept"), [("digest", 0), ({"preview_bytes": 100}, 100), (None, None)], ids=["digest", "few", "unset"])
def test_a_profile_says_how_much_of_outputs_is_kept(given: Any, kept: int | None) -> None:
    assert policy(profiles={"p": {"output": given}}).profile("p").output == kept


@pytest.mark.parametrize("given", ["all", {"preview_bytes": -1}, {"bytes": 1}, {"preview_bytes": True}, 5], ids=repr)
def test_an_output_policy_that_is_none_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match="output"):
        policy(profiles={"p": {"output": given}})
