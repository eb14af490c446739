"""
Writes the reference pages that are made from the code: settings, kinds of entries, messages.

    python docs/generate.py [--check]

With --check it changes nothing and exits with 1 if a page is out of date; the tests call it so.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import inspect
import sys
import textwrap
from pathlib import Path

import yaml

from jupyter_audit.cli.main import EXIT_CODES, build_parser
from jupyter_audit.detect.fields import ALL_FIELDS
from jupyter_audit.detect.rules import RULES_FOLDER
from jupyter_audit.gate.messages import MESSAGES
from jupyter_audit.record.kinds import KINDS
from jupyter_audit.settings import JupyterAudit

DOCS = Path(__file__).parent
NOTE = "<!-- Made by docs/generate.py from the code; edit there. -->\n\n"


def configuration() -> str:
    """Return the page of settings."""
    lines = [
        NOTE + "# Configuration\n",
        "Set these in the admin's `jupyter_server_config.py`: in `/etc/jupyter` or `/usr/local/etc/jupyter`, or named with "
        "`--config`. The file must belong to root or to the server's account, and nobody else may be able to write it. "
        "A user's own Jupyter configuration is not read.\n",
        "```python\nc.JupyterAudit.roles = {\"engineer\": [\"*\"], \"approver\": [\"bea\"], \"auditor\": [\"ada\"]}\n"
        "c.JupyterAudit.profiles = {\"production-debug\": {\"longest_minutes\": 120, \"ticket_pattern\": r\"SHOP-\\d+\"}}\n```\n",
    ]
    for name, trait in sorted(JupyterAudit.class_own_traits(config=True).items()):
        lines.append(f"## `c.JupyterAudit.{name}`\n")
        lines.append(f"{type(trait).__name__}, default `{trait.default()!r}`.\n")
        lines.append("\n".join(textwrap.wrap(trait.help, 110)) + "\n")
    return "\n".join(lines)


def entries() -> str:
    """Return the page of kinds of entries."""
    lines = [
        NOTE + "# Entries\n",
        "Every entry has `seq`, `time`, `type`, `actor` and, where they apply, `grant` and `session` (docs/ledger-format.md). "
        "What its `body` says depends on its type. Code and output stand in contents, which can be purged. The ledger itself "
        "adds `ledger.created`.\n",
    ]
    for name, kind in KINDS.items():
        lines.append(f"## `{name}`\n")
        lines.append(inspect.cleandoc(kind.__doc__ or "") + "\n")
        fields = dataclasses.fields(kind)  # type: ignore[arg-type]
        lines.append("Body: " + ", ".join(f"`{field.name}`" for field in fields) + ".\n")
    return "\n".join(lines)


def messages() -> str:
    """Return the page of the message table."""
    lines = [
        NOTE + "# Messages\n",
        "What a client may send to a kernel, and what it takes. Every message is recorded, admitted or refused; a type that is "
        "not in this table, or comes on another channel, is refused. `waits`: it goes on only after its entry is on disk.\n",
        "| type | channels | needs a grant | waits | because it |",
        "| --- | --- | --- | --- | --- |",
    ]
    for rule in MESSAGES.values():
        yes = {True: "yes", False: "no"}
        channels = ", ".join(sorted(rule.channels))
        lines.append(f"| `{rule.msg_type}` | {channels} | {yes[rule.needs_grant]} | {yes[rule.waits]} | {rule.why} |")
    return "\n".join(lines) + "\n"


def commands() -> str:
    """Return the page of commands, from their own help."""
    lines = [
        NOTE + "# Commands\n",
        "`jupyter audit COMMAND`. Commands that act write to the ledger of the audit home as the account of the operating "
        "system, or, with `--server`, act through a running server as whoever the token in `$JUPYTER_AUDIT_TOKEN` names. What "
        "goes wrong is one sentence on standard error, with what to do next.\n",
        "## Exit codes\n",
        "| code | meaning |\n| --- | --- |",
        *(f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()),
        "",
    ]
    for name, parser in sorted(_subparsers().items()):
        lines.append(f"## `jupyter audit {name}`\n")
        lines.append(f"```text\n{_help_of(parser)}\n```\n")
    return "\n".join(lines)


def detections() -> str:
    """Return the page of detections, from the rules and the table of fields."""
    lines = [
        NOTE + "# Detections\n",
        "Sigma rules (`jupyter_audit/detect/rules/`), run by pySigma's SQLite backend over a view of the ledger after each "
        "entry. What a rule finds is an entry, `finding.raised`. Code is read, never run: whoever hides what a cell does from a "
        "reader (names made up at run time, code from elsewhere) hides it from these rules too, but not from the ledger. The "
        "cases that each rule must find, must leave alone, and cannot see are files in `tests/detect/cases/`.\n",
    ]
    for path in sorted(RULES_FOLDER.glob("*.yml")):
        for rule in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if "title" in rule and "level" in rule:
                lines.append(f"## {rule['title']}\n")
                lines.append(f"`{path.name}`, level **{rule['level']}**.\n")
                lines.append(rule["description"].strip() + "\n")
                lines.extend(f"- False positive: {text}" for text in rule.get("falsepositives", ()))
                lines.append("")
    lines += ["## Fields\n", "| field | form | meaning |", "| --- | --- | --- |"]
    lines += [f"| `{field.name}` | {field.form} | {field.meaning} |" for field in ALL_FIELDS]
    return "\n".join(lines) + "\n"


def _subparsers() -> dict[str, argparse.ArgumentParser]:
    for action in build_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    raise RuntimeError("the command line has no commands")


def _help_of(parser: argparse.ArgumentParser) -> str:
    """Return a command's help as it is at 100 columns, wherever this runs."""
    parser.formatter_class = functools.partial(parser.formatter_class, width=100)  # type: ignore[assignment]
    return parser.format_help().strip()


PAGES = {
    "cli.md": commands,
    "configuration.md": configuration,
    "detections.md": detections,
    "entries.md": entries,
    "messages.md": messages,
}


def main() -> int:
    """Write the pages, or check them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = []
    for name, make in PAGES.items():
        path, text = DOCS / name, make()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not check:
                path.write_text(text, encoding="utf-8")
    if check and stale:
        sys.stderr.write(f"out of date: {', '.join(stale)}; run `python docs/generate.py`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
