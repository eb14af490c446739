"""
Masking: where contents are sealed, nothing that a person or a kernel wrote stays in the clear of an entry's body (P6).

One table says for each kind which fields can hold such text, and what may stay of it: what has the form of an identifier or
a MIME type, or is an exception that comes with Python. Whatever else stood there goes into the content `masked`, which is
sealed as all contents are. Pure; the recorder applies it to every draft, so no way into the ledger goes past it.
"""

from __future__ import annotations

import builtins
import dataclasses
import json
import re
from collections.abc import Callable, Mapping

from jupyter_audit.model import Content, Draft, Json
from jupyter_audit.record import kinds

MASKED = "(sealed)"
CONTENT = "masked"
"""The content that holds what was masked: a JSON object of fields and what stood in them."""

_IDENTIFIER = re.compile(r"[A-Za-z0-9_.:-]{0,64}")
_MIME = re.compile(r"(?:(?:application|audio|font|image|message|model|multipart|text|video)/[A-Za-z0-9!#$&^_.+-]{1,80})?")
_EXCEPTIONS = frozenset(
    name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)
)
_OWN_ERRORS = frozenset({"", kinds.NEVER_SENT, kinds.NEVER_BEGUN})

Rule = Callable[[Json], Json]
"""Returns what may stay of a field."""


def _identifier(value: Json) -> Json:
    """An identifier: up to 64 letters, digits and `_.:-`."""
    return value if isinstance(value, str) and _IDENTIFIER.fullmatch(value) else MASKED


def _error(value: Json) -> Json:
    """The name of an exception that comes with Python."""
    return value if value in _OWN_ERRORS or value in _EXCEPTIONS else MASKED


def _text(value: Json) -> Json:
    """Nothing."""
    return MASKED if value else value


def _object(value: Json) -> Json:
    """An empty object."""
    return {}


def _outputs(value: Json) -> Json:
    """All but MIME types of an unusual form."""
    return [_output(item) if isinstance(item, Mapping) else MASKED for item in value] if isinstance(value, list) else []


def _output(facts: Mapping[str, Json]) -> Json:
    mime = facts.get("mime")
    return {**facts, "mime": mime if isinstance(mime, str) and _MIME.fullmatch(mime) else MASKED}


MASKS: Mapping[str, Mapping[str, Rule]] = {
    kinds.CellAdmitted.TYPE: {"msg_id": _identifier, "cell": _identifier},
    kinds.CellRefused.TYPE: {"msg_id": _identifier, "cell": _identifier, "channel": _identifier},
    kinds.CellAnswered.TYPE: {"msg_id": _identifier, "cell": _identifier},
    kinds.CellHeld.TYPE: {"msg_id": _identifier, "cell": _identifier},
    kinds.CellFinished.TYPE: {"error": _error, "outputs": _outputs},
    kinds.CellLateOutput.TYPE: {"outputs": _outputs},
    kinds.MessageAdmitted.TYPE: {"msg_id": _identifier},
    kinds.MessageRefused.TYPE: {"msg_id": _identifier, "msg_type": _identifier, "channel": _identifier},
    kinds.KernelReport.TYPE: {"report": _identifier, "detail": _object},
    kinds.SessionStarted.TYPE: {"notebook": _text, "folder": _text},
    kinds.SessionMoved.TYPE: {"notebook": _text, "previous": _text},
    kinds.SessionRefused.TYPE: {"kernel_name": _identifier},
    kinds.RequestRefused.TYPE: {"method": _identifier, "path": _text},
    # A digest of something short can be guessed.
    kinds.FileChanged.TYPE: {"path": _text, "source": _text, "sha256": _text},
    kinds.FindingRaised.TYPE: {"explanation": _text},
}
"""For each kind the fields that can hold what a person or a kernel wrote, and what may stay of each."""


def mask(draft: Draft) -> Draft:
    """Return `draft` with nothing in its body that ought to be sealed; its content `masked` holds what stood there."""
    body = dict(draft.body)
    taken: dict[str, Json] = {}
    for name, rule in MASKS.get(draft.type, {}).items():
        if name in body and (shown := rule(body[name])) != body[name]:
            taken[name], body[name] = body[name], shown
    if not taken:
        return draft
    text = json.dumps(taken, ensure_ascii=False, sort_keys=True).encode("utf-8", "replace")
    return dataclasses.replace(draft, body=body, contents={**draft.contents, CONTENT: Content(text, "application/json")})
