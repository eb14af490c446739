"""Hints of commands name the server, where whoever reads them has to reach one."""

from __future__ import annotations

import argparse

import pytest
from cli_house import CommandLine

from jupyter_audit.cli.main import build_parser
from jupyter_audit.hints import THROUGH_A_SERVER, through_server

URL = "https://debug.example.org/"


def test_the_commands_of_which_hints_name_a_server_are_those_that_take_one() -> None:
    [commands] = [action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction)]
    taking = {name for name, parser in commands.choices.items() if "--server" in parser.format_help()}
    assert {name.split()[0] for name in THROUGH_A_SERVER} == taking


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("`jupyter audit requests` lists them.", f"`jupyter audit requests --server {URL}` lists them."),
        ("`jupyter audit approve r-0a --sign` (docs).", f"`jupyter audit approve r-0a --sign --server {URL}` (docs)."),
        ("`jupyter audit approve r-0a --server URL`", f"`jupyter audit approve r-0a --server {URL}`"),
        ("`jupyter audit held --server https://other/`", "`jupyter audit held --server https://other/`"),
        ("run\n    jupyter audit request --ticket T\nand", f"run\n    jupyter audit request --ticket T --server {URL}\nand"),
        ("Answer: in the panel, or jupyter audit approve r-0a1b", f"Answer: in the panel, or jupyter audit approve r-0a1b --server {URL}"),
        ("with `jupyter audit keys mine register`", f"with `jupyter audit keys mine register --server {URL}`"),
        *(
            (own, own)
            for own in (
                "`jupyter audit doctor` says why.", "`jupyter audit keys mine create`", "`jupyter audit runbook`",
                "They run jupyter audit lab.", "jupyter audit requests are many", "`jupyter audit keys` lists them.",
            )
        ),
    ],
)  # fmt: skip
def test_a_hint_names_the_server_once_and_only_where_the_command_can_use_it(text: str, told: str) -> None:
    assert through_server(text, URL) == told
    assert through_server(told, URL) == told


def test_an_address_is_one_word_of_the_command_whatever_is_in_it() -> None:
    assert through_server("`jupyter audit log`", "https://x/a b;c") == "`jupyter audit log --server 'https://x/a b;c'`"


def test_what_comes_next_on_another_home_or_configuration_is_named_with_it(cli: CommandLine) -> None:
    config = cli.config("c.JupyterAudit.solo = True\n")
    asked = cli.good("request", "--reason", "orders are stuck", "--ticket", "T-1", "--config", config).out
    [command] = [line.split("jupyter audit ")[1].split() for line in asked.splitlines() if "jupyter audit" in line]
    assert cli(*command, home=False).code == 0
