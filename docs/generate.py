"""
Writes the reference pages that are made from the code: settings, kinds of entries, messages, roads.

    python docs/generate.py [--check]

With --check it changes nothing and exits with 1 if a page is out of date; the tests call it so.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import importlib
import inspect
import sys
import textwrap
from pathlib import Path
from typing import Any

import yaml

from jupyter_audit.access.guardrails import BUILT_IN
from jupyter_audit.cli.main import EXIT_CODES, build_parser
from jupyter_audit.detect.fields import ALL_FIELDS
from jupyter_audit.detect.rules import RULES_FOLDER
from jupyter_audit.gate.messages import ANSWERED_HERE, DEBUG_COMMANDS, JUDGED, MESSAGES
from jupyter_audit.profilekeys import PROFILE_HELP, profile_help
from jupyter_audit.record.kinds import KINDS
from jupyter_audit.record.masking import CONTENT, MASKED, MASKS
from jupyter_audit.settings import JupyterAudit

DOCS = Path(__file__).parent
ATTACKS = DOCS.parent / "tests" / "attacks"
CASES = DOCS.parent / "tests" / "detect" / "cases"
GUARDRAIL_CASES = DOCS.parent / "tests" / "detect" / "guardrails.yml"
GUARDRAILS_BEGIN = "<!-- Made by docs/generate.py from the code, from here on; edit there. -->\n"
PROBES_BEGIN = "<!-- made by docs/generate.py from tests/isolation/probe_table.py -->\n"
PROBES_END = "<!-- end -->"
SITUATIONS = {
    "plain": "plain server",
    "without_grant": "without a grant",
    "expired": "after it has ended",
    "anothers": "another's",
    "good": "a good one",
}
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
        if name == "profiles":
            lines += _profile_keys(trait.help)
            continue
        lines.append("\n".join(textwrap.wrap(trait.help, 110)) + "\n")
    return "\n".join(lines)


def _profile_keys(told: str) -> list[str]:
    """Return what is told of `profiles`: its own words, and its keys as a table."""
    rows = (f"| `{key}` | `{item.default}` | {item.help} |" for key, item in PROFILE_HELP.items())
    own = told.removesuffix(profile_help()).strip()
    return ["\n".join(textwrap.wrap(own, 110)) + "\n", "| key | default | meaning |", "| --- | --- | --- |", *rows, ""]


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
    lines += [
        "## What is masked where contents are sealed\n",
        "With `c.JupyterAudit.sealed_to` (docs/sealing.md) these fields keep what the table says; anything else is "
        f"`{MASKED}` in the body, and stands in the content `{CONTENT}`, a JSON object of fields and what was in them, which is "
        "sealed. Every other field is a number, a name of ours, what the server itself says, or what approvers must read "
        "(reasons, tickets).\n",
        "| type | field | what may stay |",
        "| --- | --- | --- |",
    ]
    for name, rules in MASKS.items():
        lines += [f"| `{name}` | `{field}` | {inspect.cleandoc(rule.__doc__ or '')} |" for field, rule in rules.items()]
    return "\n".join(lines) + "\n"


def messages() -> str:
    """Return the page of the message table."""
    lines = [
        NOTE + "# Messages\n",
        "What a client may send to a kernel, and what it takes. Every message is recorded, admitted or refused; a type that is "
        "not in this table, or comes on another channel, is refused, as `message.refused`. `waits`: it goes on only after its "
        "entry is on disk. `each cell`: what becomes of it where somebody approves each cell (`cell_approval` of a profile, "
        "[access.md](access.md)). The roads on which messages travel, and what else makes a kernel run code, are in "
        "[execution-paths.md](execution-paths.md).\n",
        "| type | passed on from | needs a grant | waits | each cell | recorded as | because it |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    yes = {True: "yes", False: "no"}
    for rule in MESSAGES.values():
        if rule.channels:
            taken = f"{', '.join(sorted(rule.channels))} | {yes[rule.needs_grant]} | {yes[rule.waits]} | {rule.each_cell}"
            recorded = f"`{rule.admitted_as}`, `{rule.refused_as}`"
        else:
            taken, recorded = "never | | | ", f"`{rule.refused_as}`"
        lines.append(f"| `{rule.msg_type}` | {taken} | {recorded} | {rule.why} |")
    lines += [
        "",
        ANSWERED_HERE,
        "",
        "## Under guardrails\n",
        "What becomes of a message under a profile that has guardrails ([guardrails.md](guardrails.md)). Terminals carry code as "
        "well: a profile with guardrails cannot allow them.\n",
        "| type | verdict | of what, or why |",
        "| --- | --- | --- |",
        *(f"| `{name}` | {judging} | {what} |" for name, (judging, what) in JUDGED.items()),
        "",
        "## Commands of a debug_request\n",
        "Each needs a grant and waits for its entry, which holds its arguments. Any other command is refused.\n",
        "| command | because it |",
        "| --- | --- |",
        *(f"| `{command}` | {why} |" for command, why in DEBUG_COMMANDS.items()),
    ]
    return "\n".join(lines) + "\n"


def execution_paths() -> str:
    """Return the page of roads, from the table that the attacks are held against."""
    lines = [
        NOTE + "# Execution paths\n",
        "Every road by which code could get to run in a kernel or in the server: where it is stopped, what it leaves in the "
        "ledger, and the tests that try it. This page is made from `tests/attacks/roads.yml`, by `docs/generate.py`; a road that "
        "is not tried in every situation fails the tests, and so does an attack without a road. What the gate decides by, for "
        "each type of message and channel, is another table, in code (`jupyter_audit/gate/messages.py`), from which "
        "[messages.md](messages.md) is made; the tests hold the two against each other.\n",
        "Each road is taken on a plain Jupyter server first, where it must come through; then on an audited one without a "
        "grant, after the grant has ended, with another person's, and with a good one. It must be refused, stand in the "
        "ledger, and have run nothing; or, where a grant opens the road, run after its entry was durable. A file of "
        "`tests/attacks/messages/` or `tests/attacks/requests/` is one attack, which `test_message_roads.py` or "
        "`test_request_roads.py` carries out in all five situations; for other roads the tests are named, or why there is no "
        "such situation. What code in a cell can reach once it runs is in [threat-model.md](threat-model.md).\n",
        "What is refused is marked by its entry (`cell.refused`, `message.refused`, `request.refused` and the like): who tried "
        "what, where, when, and why it was refused. Findings, which alert people, are another thing. A single refusal raises "
        "none, as anybody may run a cell before they have a grant; code that reached a kernel past the gate always does "
        "(`foreign-code`), and so does a burst of refused attempts ([detections.md](detections.md)).\n",
    ]
    for group, roads in yaml.safe_load((ATTACKS / "roads.yml").read_text(encoding="utf-8")).items():
        lines += [f"## {group}\n", "| road | gated by | recorded as | tried in each situation | and by |", "| --- " * 5 + "|"]
        for road in roads:
            besides = ", ".join(f"`{file}`" for file in dict.fromkeys(test.partition("::")[0] for test in road.get("tests", ())))
            recorded = ", ".join(f"`{kind}`" for kind in road["recorded"]) or "nothing starts, so nothing"
            lines.append(f"| {road['road']} | {road['gated']} | {recorded} | {_tried(road)} | {besides} |")
        lines.append("")
    return "\n".join(lines)


def _tried(road: dict[str, Any]) -> str:
    """Return how a road is tried in each situation."""
    if "attack" in road:
        return f"`tests/attacks/{road['attack']}.py`"
    told = []
    for situation, named in road.get("situations", {}).items():
        tests = [named] if isinstance(named, str) else named
        told.append(f"{SITUATIONS[situation]}: " + ", ".join(f"`{test}`" if "::" in test else test for test in tests))
    return "<br>".join(told)


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
    """Return the page of detections, from the rules, the table of fields and the cases out of reach."""
    lines = [
        NOTE + "# Detections\n",
        "Sigma rules (`jupyter_audit/detect/rules/`), run by pySigma's SQLite backend over a view of the ledger after each "
        "entry. What a rule finds is an entry, `finding.raised`, that names the entries it is about and says who, what, why it "
        "matched and what to check. A finding cannot be purged, so it repeats nothing that a person wrote but names of tables.\n",
        "Each entry is judged once: also what the command line or another server appended, and what came while no server ran. "
        "`detection.judged` entries say how far, and by which rules; a rule that was changed or taken away shows there. A rule "
        "that fails is a `gap.recorded` entry, and the others go on. Rules that cannot be used stop the server from starting.\n",
        "Two findings are the server's own, and come from no rule: `foreign-code`, code reached a kernel past the gate; and "
        "`home-modes`, modes in the audit home were changed while the server ran (they are put right at once; "
        "[threat-model.md](threat-model.md)).\n",
        "Judging a cell and its end takes 0.7 to 1.1 ms, 0.1 to 0.6 of it to read the code, in a thread of its own and after the "
        "cell is on its way (measured on two cores). What is read of a cell is bounded in size, so that one made to take long "
        "costs about half a second.\n",
        "## The rules\n",
    ]
    for path in sorted(RULES_FOLDER.glob("*.yml")):
        for rule in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            lines.append(f"### {rule['title']}\n")
            tags = ", ".join(tag.removeprefix("attack.") for tag in rule.get("tags", ()))
            lines.append(f"`{path.name}`, level **{rule['level']}**{', ATT&CK ' + tags if tags else ''}.\n")
            lines.append(rule["description"].strip() + "\n")
            if "jupyter_audit" in rule:
                lines.append("- Check: " + rule["jupyter_audit"]["check"])
            lines.extend(f"- False positive: {text}" for text in rule.get("falsepositives", ()))
            lines.append("")
    lines += [
        "## What reading cannot see\n",
        "Code is read, never run. Aliases, `getattr` with constant names, texts put together from constants, base64 and "
        "the like, `exec` of a constant and names from earlier cells of the session are worked out; what only the running "
        "program knows is not. Whoever hides what a cell does from a reader hides it from these rules, but not from the ledger, "
        "which has the code. These are known, and a test notices when one of them comes within reach "
        "(`tests/detect/cases/*/out_of_reach/`):\n",
    ]
    for path in sorted(CASES.glob("*/out_of_reach/*.ipy")):
        why = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("#: ")
        lines.append(f"- {path.parent.parent.name.replace('_', ' ')}, {path.stem.replace('_', ' ')}: {why}")
    lines += [
        "",
        "Where code hides what it runs (`exec` of a computed text, `getattr` on `os` with a computed name, unpickling), the "
        "field `obfuscated` says so. The bytes of an output and its rows are the kernel's word, which a cell can forge or hold "
        "back.\n",
        "## Writing a rule\n",
        "A rule is Sigma with `logsource: {product: jupyter_audit, service: ledger}`, an `id`, `level` and `description`, the "
        "fields below, and one section of ours:\n",
        "```yaml\njupyter_audit:\n  once_per: cell        # or grant: one finding for all that a grant's holder does\n"
        "  explanation:          # the first sentence whose fields all have a value; $matched: the words that matched\n"
        '    - "$person did this in the cell of entry $seq: it uses $matched."\n  check: "What the reader is to look at."\n```\n',
        "Correlations of type `event_count`, grouped by `person`, find bursts. Fields marked `quiet` hold what people wrote and "
        "cannot stand in an explanation. A `list` has a space before and after each word: `uses|contains: ' os.system '`.\n",
        "## Fields\n",
        "| field | form | meaning |",
        "| --- | --- | --- |",
    ]
    for field in ALL_FIELDS:
        quiet = "" if field.sayable else ", quiet"
        lines.append(f"| `{field.name}` | {field.form}{quiet} | {field.meaning} |")
    return "\n".join(lines) + "\n"


def guardrails() -> str:
    """Return the page of guardrails, which people write, with the rules, the fields and the cases out of reach at its end."""
    head, begin, _ = (DOCS / "guardrails.md").read_text(encoding="utf-8").partition(GUARDRAILS_BEGIN)
    fields = ", ".join(f"`{field.name}`" for field in ALL_FIELDS if field.before)
    lines = ["", f"A rule may go by these fields ([detections.md](detections.md) says what each is): {fields}.\n"]
    lines.append("## Those that come with Jupyter Audit\n")
    for path in sorted(BUILT_IN.glob("*.yml")):
        rule = yaml.safe_load(path.read_text(encoding="utf-8"))
        lines += [f"### `{path.stem}`\n", rule["description"].strip() + "\n", "- Instead: " + rule["jupyter_audit"]["check"]]
        lines += [*(f"- Stopped by mistake: {text}" for text in rule["falsepositives"]), ""]
    lines += [
        "## What gets round them\n",
        "Each of these is tried (`tests/detect/test_guardrails.py`), and none of them is stopped:\n",
    ]
    for name, groups in yaml.safe_load(GUARDRAIL_CASES.read_text(encoding="utf-8")).items():
        for why, code in groups["out_of_reach"].items():
            cells = [code] if isinstance(code, str) else code
            told = ", then ".join(f"`{cell}`".replace("\n", "; ") for cell in cells)
            lines.append(f"- `{name}`: {why}. {told}")
    lines.append(
        "- Any of them: code that a handler of the session runs because of a widget's value, a typed password or a file that "
        "changed; code of an installed library; a cell that is sent before the one that gives its names their meaning."
    )
    return head + begin + "\n".join(lines) + "\n"


def threat_model() -> str:
    """Return the threat model, which people write, with the tables of the probes in it, which the tests try."""
    page = (DOCS / "threat-model.md").read_text(encoding="utf-8")
    head, _, rest = page.partition(PROBES_BEGIN)
    _, end, tail = rest.partition(PROBES_END)
    table = _probe_table()
    lines = [
        "",
        "Each line is tried from inside of a cell, on each rung (`tests/isolation/test_probes.py`):\n",
        f"| attempt, from code in a cell | {' | '.join(table.RUNGS)} |",
        f"| --- |{' --- |' * len(table.RUNGS)}",
        *(_probe_row(probe) for probe in (*table.PROBES, *table.DISK_PROBES)),
        "",
        "What a cell leaves running, when its grant has ended (the same file):\n",
        f"| left behind | {' | '.join(table.RUNGS)} |",
        f"| --- |{' --- |' * len(table.RUNGS)}",
        *(f"| {left.name} | {' | '.join(left.expected)} |" for left in table.LEFT),
        "",
        "What `cron`, `at` and systemd start lives on, wherever the lines above say that it succeeds to ask them.",
        "",
        "And under each network policy (`tests/isolation/test_network.py`); on `none` and `account` no session starts "
        "whose policy is another than `open`, on `landlock` none with named targets:\n",
        f"| attempt | {' | '.join(table.Net)} |",
        f"| --- |{' --- |' * len(table.Net)}",
        *(_probe_row(probe) for probe in table.NET_PROBES),
        "",
    ]
    return head + PROBES_BEGIN + "\n".join(lines) + end + tail


def _probe_row(probe: Any) -> str:
    note = f" ({probe.note})" if probe.note else ""
    return f"| {probe.name}{note} | {' | '.join(probe.expected)} |"


def _probe_table() -> Any:
    sys.path.append(str(DOCS.parent / "tests" / "isolation"))
    return importlib.import_module("probe_table")


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
    "execution-paths.md": execution_paths,
    "guardrails.md": guardrails,
    "messages.md": messages,
    "threat-model.md": threat_model,
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
