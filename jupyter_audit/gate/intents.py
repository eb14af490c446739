"""
`%audit …`: what a person asks of the server in a cell of its own, read strictly. Pure.

Such a cell is answered by the server and reaches no kernel, so it works without a grant and in every language. What
counts is the message that came over the person's own connection: nothing that runs in a kernel can send one. A cell that
holds anything else beside it is an ordinary cell; there the kernel's own `%audit` only says what to do.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jupyter_audit.errors import UsageError

MAGIC = "%audit"
LONGEST = 20_000
"""Characters of a cell that is looked at: a reason is much shorter, and code may be large."""

DURATION = re.compile(r"(?:(\d{1,4})h)?(?:(\d{1,4})m(?:in)?)?")


@dataclass(frozen=True, slots=True)
class Verb:
    """What may stand after `%audit`. `options` are the names that `--name VALUE` may have; `acts` if it changes anything."""

    usage: str
    meaning: str
    options: frozenset[str] = frozenset()
    lasts: bool = False
    acts: bool = True


VERBS: Mapping[str, Verb] = {
    "status": Verb("", "your grant and its clock, what it covers, what waits for an answer", acts=False),
    "request": Verb(
        "[30m] WHY --ticket ID [--profile NAME] [--target NAME] [--starts WHEN]",
        "ask for access; an approver answers",
        frozenset({"ticket", "profile", "target", "starts", "reason"}),
        lasts=True,
    ),
    "extend": Verb("[30m] [WHY]", "ask for more time under your grant", frozenset({"grant", "reason"}), lasts=True),
    "withdraw": Verb("[REQUEST]", "take a request back that waits"),
    "rules": Verb("[PROFILE]", "the rules of a profile in plain words", acts=False),
    "acknowledge": Verb("PROFILE VERSION", "say that you have read them"),
    "note": Verb("TEXT", "put a note beside what you do, for whoever reviews it"),
    "feedback": Verb("[--about ENTRY] TEXT", "say what got in your way; it goes with your newest refusal or wait here",
                     frozenset({"about"})),
    "help": Verb("", "this list", acts=False),
}  # fmt: skip
"""Every verb: help texts and tests are made from it."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What was asked for. `minutes` is a duration that stood first; `words` is what was left, `text` the same as one text."""

    verb: str
    minutes: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    words: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The words as one text."""
        return " ".join(self.words)

    @property
    def acts(self) -> bool:
        """Whether it changes anything."""
        return VERBS[self.verb].acts


def said(content: Mapping[str, Any]) -> str | None:
    """
    Return what stands after `%audit` if an execute_request's content is that alone; None for any other cell.

    Beside it only empty lines and comments may stand.
    """
    code = content.get("code")
    if not isinstance(code, str) or len(code) > LONGEST or MAGIC not in code:
        return None
    lines = [line.strip() for line in code.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if len(lines) != 1 or not lines[0].startswith(MAGIC):
        return None
    rest = lines[0].removeprefix(MAGIC)
    return rest.strip() if not rest or rest[0].isspace() else None


def verb_of(text: str) -> str:
    """Return the verb that a text begins with, or nothing where it is none that is known: for the entry."""
    first = (text.split(maxsplit=1) or ["status"])[0]
    return first if first in VERBS else ""


def parse(text: str) -> Intent:
    """Return what is asked for. Raises `UsageError` that says how it is written."""
    verb = verb_of(text)
    if not verb:
        raise UsageError(f"There is no {MAGIC} {text.split()[0][:40]}.", advice=f"`{MAGIC} help` lists what there is.")
    known = VERBS[verb]
    usage = f"Write: {MAGIC} {verb} {known.usage}".rstrip()
    words, options = _split(text, known, usage)
    minutes = None
    if known.lasts and words and (minutes := _minutes(words[0])) is not None:
        words = words[1:]
    return Intent(verb, minutes, options, tuple(words))


def _split(text: str, known: Verb, usage: str) -> tuple[list[str], dict[str, str]]:
    """Return the words after the verb and the options among them. Double quotes keep a text together; `'` is a letter."""
    reader = shlex.shlex(text, posix=True, punctuation_chars=False)
    reader.whitespace_split, reader.commenters, reader.quotes, reader.escape = True, "", '"', ""
    try:
        tokens = list(reader)[1:]
    except ValueError as error:
        raise UsageError('A double quote (") has no partner.', advice=usage) from error
    words: list[str] = []
    options: dict[str, str] = {}
    waiting = iter(tokens)
    for token in waiting:
        name, equals, value = token.removeprefix("--").partition("=")
        if not token.startswith("--") or not known.options:
            words.append(token)
            continue
        if name not in known.options:
            raise UsageError(f"There is no option --{name[:40]} here.", advice=usage)
        if name in options:
            raise UsageError(f"--{name} stands there twice.", advice=usage)
        given = value if equals else next(waiting, None)
        if given is None:
            raise UsageError(f"--{name} says nothing.", advice=usage)
        options[name] = given
    return words, options


def _minutes(word: str) -> int | None:
    """Return a duration such as 30m, 2h or 1h30m in minutes; None for any other word."""
    found = DURATION.fullmatch(word)
    if found is None or not word:
        return None
    return int(found[1] or 0) * 60 + int(found[2] or 0)
