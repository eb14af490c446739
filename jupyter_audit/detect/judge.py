"""
The process that asks guardrails (`python -I -m jupyter_audit.detect.judge`): a line of JSON in, a line of JSON out.

Code that an engineer wrote is parsed here and not in the server, which holds the key: it can take as long and as much
memory as it likes, or crash the parser, and is refused for it. The process keeps nothing between two questions, reads no
file and ends with its input.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
import warnings
from typing import Any

from jupyter_audit.detect.guardrails import Asked, GuardrailJudge, rule_from_json

MOST_MEMORY = 2 * 1024**3
"""Bytes of address space."""


def main() -> None:
    """Answer until the input ends. The first line holds the guardrails, by name."""
    with contextlib.suppress(ValueError, OSError):  # macOS knows the limit and does not take it
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    warnings.simplefilter("ignore")
    rules: dict[str, Any] = json.loads(sys.stdin.readline())
    judge = GuardrailJudge({name: rule_from_json(rule) for name, rule in rules.items()})
    _say({"ready": True})
    for line in sys.stdin:
        asked = json.loads(line)
        known = {name: tuple(dotted) for name, dotted in asked["known"].items()}
        told = judge.judge(Asked(asked["sources"], asked["rules"], known, asked["about"]))
        _say({"broken": dict(told.broken), "unread": told.unread, "bindings": told.bindings})


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
