"""The admin's configuration file: whose it must be, what in it is refused, and what doctor says of everything."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cli_house import CommandLine

from jupyter_audit.configfile import check_owner_and_modes, load_admin_config, load_settings
from jupyter_audit.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("c.JupyterAudit.soloo = True", "c.JupyterAudit.soloo is not a setting"),
        ("c.JupyterAudit.solo = 'perhaps'", "c.JupyterAudit.solo cannot be used"),
        ("c.JupyterAudit.roles = {'king': ['ada']}", "c.JupyterAudit.roles cannot be used"),
        ("c.JupyterAudit.roles = {'approver': 'ada'}", "c.JupyterAudit.roles cannot be used"),
        ("c.JupyterAudit.profiles = {'x': {'longest_minutes': 999}}", "profiles['x']['longest_minutes']"),
        ("c.JupyterAudit.solo = True\nraise OSError('half way')", "half way"),
        ("c.JupyterAudit.solo = (", "SyntaxError"),
        ("import sys; sys.exit(0)", "SystemExit"),
    ],
)
def test_a_setting_that_cannot_be_used_stops_the_command_and_is_named(cli: CommandLine, text: str, said: str) -> None:
    config = cli.config(text)
    done = cli("request", "--config", config, "--reason", "orders are stuck", "--ticket", "T-1")
    assert done.code == 3
    assert said in done.err
    assert cli.entries("access.") == []


def test_a_configuration_file_that_others_can_write_is_refused(cli: CommandLine) -> None:
    config = cli.config("c.JupyterAudit.solo = True", mode=0o620)
    done = cli("requests", "--config", config)
    assert done.code == 3
    assert "chmod go-w" in done.err


def test_a_link_in_a_folder_that_others_can_write_is_refused(tmp_path: Path) -> None:
    safe, open_to_all = tmp_path / "safe", tmp_path / "open"
    safe.mkdir()
    open_to_all.mkdir()
    (safe / "real.py").write_text("c.JupyterAudit.solo = True")
    (open_to_all / "link.py").symlink_to("../safe/real.py")
    check_owner_and_modes(open_to_all / "link.py")
    open_to_all.chmod(0o777)
    with pytest.raises(ConfigError, match="open"):
        check_owner_and_modes(open_to_all / "link.py")
    check_owner_and_modes(safe / "real.py")


def test_a_link_to_a_file_that_others_can_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real.py").write_text("")
    (tmp_path / "real.py").chmod(0o666)
    (tmp_path / "link.py").symlink_to(tmp_path / "real.py")
    with pytest.raises(ConfigError, match=r"real\.py"):
        check_owner_and_modes(tmp_path / "link.py")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_account_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text("")
    os.chown(tmp_path / "config.py", 12345, 12345)
    with pytest.raises(ConfigError, match="uid 12345"):
        check_owner_and_modes(tmp_path / "config.py")


def test_a_users_own_configuration_is_not_read(empty: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = empty.folder / ".jupyter"
    mine.mkdir()
    (mine / "jupyter_server_config.py").write_text("c.JupyterAudit.home = '/stolen'")
    monkeypatch.setenv("HOME", str(empty.folder))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(mine))
    monkeypatch.chdir(mine)
    assert load_settings(load_admin_config(None)).home == ""


def test_the_systems_folders_are_read_and_json_too(empty: CommandLine) -> None:
    etc = empty.folder / "etc"
    etc.mkdir()
    (etc / "jupyter_server_config.json").write_text('{"JupyterAudit": {"solo": true}}')
    (etc / "jupyter_server_config.py").write_text("c.JupyterAudit.grace_seconds = 2.0")
    settings = load_settings(load_admin_config(None))
    assert (settings.solo, settings.grace_seconds) == (True, 2.0)


def test_a_configuration_that_was_named_and_is_not_there_is_an_error(cli: CommandLine) -> None:
    assert cli("requests", "--config", "/nowhere/config.py").code == 3


# --- doctor -------------------------------------------------------------------------------------


def test_doctor_finds_a_new_home_in_order(cli: CommandLine) -> None:
    rows = {row["check"]: row for row in cli.good("doctor", "--json").rows()}
    assert rows["ledger"]["level"] == "ok"
    assert {"versions", "settings", "policy", "audit home", "signing key", "remembered checkpoint"} <= rows.keys()
    assert {"space", "isolation", "kernel audit", "server extension", "running server"} <= rows.keys()
    assert all(row["advice"] for row in rows.values() if row["level"] != "ok")


def failures(cli: CommandLine, *words: str) -> dict[str, str]:
    done = cli("doctor", "--json", *words)
    assert done.code == 1
    return {row["check"]: row["advice"] for row in done.rows() if row["level"] == "fail"}


def test_doctor_says_what_is_wrong_and_what_to_do(cli: CommandLine) -> None:
    cli.home.path.chmod(0o750)
    assert "chmod 700" in failures(cli)["audit home and ledger"]
    cli.home.path.chmod(0o700)

    cli.home.signing_key.chmod(0o640)
    assert failures(cli)["signing key"]
    cli.home.signing_key.chmod(0o600)

    kept = cli.home.remembered_checkpoint.read_text()
    cli.home.remembered_checkpoint.unlink()
    assert failures(cli)["remembered checkpoint"]
    cli.home.remembered_checkpoint.write_text(kept)
    cli.home.remembered_checkpoint.chmod(0o600)

    full = cli.config("c.JupyterAudit.free_space_floor = 2**60")
    assert "free_space_floor" in failures(cli, "--config", full)["space"]

    bare = "c.JupyterAudit.isolation = 'none'; c.JupyterAudit.profiles = {'x': {'isolation': 'landlock'}, 'y': {'network': 'none'}}"
    assert {"profile x", "profile y"} <= failures(cli, "--config", cli.config(bare)).keys()

    unknown = cli.config("c.JupyterAudit.allowed_kernels = ['audit', 'cobol']")
    assert failures(cli, "--config", unknown).keys() == {"kernel cobol"}

    wrong = cli.config("c.JupyterAudit.soloo = True")
    assert failures(cli, "--config", wrong).keys() == {"settings"}
    wrong = cli.config(f"c.JupyterAudit.home = {str(cli.home.path)!r}; c.JupyterAudit.soloo = True")
    rows = {row["check"]: row for row in cli("doctor", "--json", "--config", wrong, home=False).rows()}
    assert (rows["settings"]["level"], rows["ledger"]["level"]) == ("fail", "ok"), "the home that it names is looked at all the same"
    assert cli("doctor").code == 0


def test_doctor_warns_where_nobody_can_approve(cli: CommandLine) -> None:
    config = cli.config("c.JupyterAudit.roles = {'engineer': ['*']}")
    rows = {row["check"]: row for row in cli.good("doctor", "--json", "--config", config).rows()}
    assert rows["policy"]["level"] == rows["auditors"]["level"] == "warn"


def test_what_init_says_to_do_next_names_the_same_configuration(empty: CommandLine) -> None:
    config = empty.config("c.JupyterAudit.roles = {'approver': ['ada']}")
    said = empty("init", "--config", config).out
    assert f"doctor --home {empty.home.path} --config {config}, then" in said


def test_doctor_without_a_home_says_how_to_make_one(empty: CommandLine) -> None:
    assert "jupyter audit init" in failures(empty)["audit home and ledger"]
    assert not empty.home.path.exists()


def test_doctor_tells_of_a_server_that_died(cli: CommandLine) -> None:
    (cli.home.run / "server.json").write_text('{"url": "http://127.0.0.1:9", "token": "x"}')
    rows = {row["check"]: row for row in cli.good("doctor", "--json").rows()}
    assert rows["running server"]["level"] == "warn"
