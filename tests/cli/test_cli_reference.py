"""Every command, option and exit code says what it is; the launching commands hand on what is not theirs."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

import pytest
from cli_house import CommandLine

from jupyter_audit import errors
from jupyter_audit.cli.main import EXIT_CODES, build_parser
from jupyter_audit.errors import AuditError

DOCS = Path(__file__).parents[2] / "docs" / "cli.md"
COMMANDS: dict[str, argparse.ArgumentParser] = next(
    action.choices for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction)
)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_and_each_of_its_options_is_explained_and_documented(name: str) -> None:
    page = DOCS.read_text(encoding="utf-8")
    command = COMMANDS[name]
    section = page.partition(f"## `jupyter audit {name}`\n")[2].partition("\n## ")[0]
    assert command.description
    assert all(len(line) <= 110 for line in command.format_help().splitlines())
    for action in command._actions:
        assert action.help, action
        for option in action.option_strings:
            assert option in section


def test_every_exit_code_of_an_error_is_documented() -> None:
    raised = {e.exit_code for e in vars(errors).values() if isinstance(e, type) and issubclass(e, AuditError)}
    assert raised <= EXIT_CODES.keys()
    page = DOCS.read_text(encoding="utf-8")
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)] == list(EXIT_CODES)


def test_lab_hands_everything_on_to_an_isolated_interpreter(empty: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    class Replaced(Exception):  # noqa: N818 (exec does not return; this stands for that)
        """The process would be the launcher's now."""

    seen: list[object] = []

    def execve(*given: object) -> None:
        seen.extend(given)
        raise Replaced

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.setenv("PYTHONPATH", "/evil")
    monkeypatch.setenv("PYTHONSTARTUP", "/evil.py")
    with pytest.raises(Replaced):
        empty("lab", "--solo", "--port=1", "--ServerApp.anything=x", home=False)
    executable, command, environment = seen
    assert executable == sys.executable
    assert command == [
        *(sys.executable, "-I", "-m", "jupyter_audit.server.launcher"),
        *("lab", "--solo", "--port=1", "--ServerApp.anything=x"),
    ]
    assert isinstance(environment, dict)
    assert not [name for name in environment if name.startswith("PYTHON")]


@pytest.mark.parametrize("face", ["lab", "server"])
def test_without_the_servers_packages_it_is_said_what_to_install(
    empty: CommandLine, monkeypatch: pytest.MonkeyPatch, face: str
) -> None:
    monkeypatch.setattr("jupyter_audit.cli.launch.find_spec", lambda name: None)
    done = empty(face, home=False)
    assert done.code == 3
    assert "pip install 'jupyter-audit[lab]'" in done.err
