"""
The envelope: what every entry says beside its body, and the one form it has (docs/ledger-format.md).

A member that would be null, empty or false is absent, so that one meaning has one spelling.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from jupyter_audit.ledger.canonical import MAX_INTEGER, CanonicalError, canonicalize, parse_canonical
from jupyter_audit.model import Actor, Commitment, Draft, Entry

ENTRY_VERSION = 1
MAX_ENTRY_BYTES = 1024 * 1024
"""An entry's canonical text in UTF-8; code and output belong into contents."""

CREATED = "ledger.created"
KEY_ROTATED = "ledger.key_rotated"
PURGED = "content.purged"

_TYPE = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)+")
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,256}")
_CONTENT_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_MEDIA_TYPE = re.compile(r"[\x20-\x7e]{1,256}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")

_REQUIRED = frozenset({"actor", "body", "seq", "time", "type", "v"})
_ALLOWED = _REQUIRED | {"clock_back", "contents", "grant", "session"}


class EnvelopeError(ValueError):
    """A draft cannot become an entry, or a text is not one."""


def parse_moment(text: object) -> datetime:
    """Return the moment of an entry's `time`; raises `EnvelopeError` for any other spelling."""
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        raise EnvelopeError(f"its time is not RFC 3339 in UTC with microseconds: {text!r}")
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise EnvelopeError(f"its time is no moment: {text!r}") from error


def check_draft(draft: Draft) -> None:
    """Raise `EnvelopeError` unless the draft's type, names and identifiers are of the format's form."""
    if not _TYPE.fullmatch(draft.type):
        raise EnvelopeError(f"not an entry type: {draft.type!r}")
    for what, name in (
        ("actor", draft.actor.name),
        ("actor's voucher", draft.actor.vouched_by),
        ("session", draft.session),
        ("grant", draft.grant),
    ):
        if name is not None and not _NAME.fullmatch(name):
            raise EnvelopeError(f"the name of its {what} has 1 to 256 characters, none of control: {name!r}")
    for name, content in draft.contents.items():
        if not _CONTENT_NAME.fullmatch(name):
            raise EnvelopeError(f"not a content name: {name!r}")
        if not _MEDIA_TYPE.fullmatch(content.media_type):
            raise EnvelopeError(f"not a media type: {content.media_type!r}")


def format_entry(
    draft: Draft,
    commitments: Mapping[str, Commitment],
    *,
    seq: int,
    moment: datetime,
    time: str,
    clock_back: bool,
) -> Entry:
    """
    Return the entry that `draft` becomes; its `raw` is the canonical text. `time` is the text of `moment`.

    The draft must have passed `check_draft`. Raises `EnvelopeError` if its body has no canonical form, or
    the entry is too long.
    """
    actor = draft.actor
    envelope: dict[str, Any] = {
        "actor": {"name": actor.name, "vouched_by": actor.vouched_by},
        "body": draft.body,
        "seq": seq,
        "time": time,
        "type": draft.type,
        "v": ENTRY_VERSION,
    }
    if clock_back:
        envelope["clock_back"] = True
    if commitments:
        envelope["contents"] = {
            name: {"digest": c.digest, "media_type": c.media_type, "size": c.size}
            for name, c in commitments.items()
        }
    if draft.grant is not None:
        envelope["grant"] = draft.grant
    if draft.session is not None:
        envelope["session"] = draft.session
    try:
        raw, plain = canonicalize(envelope)
    except CanonicalError as error:
        raise EnvelopeError(f"its body cannot be written down: {error}") from error
    if len(raw) * 4 > MAX_ENTRY_BYTES and len(raw.encode()) > MAX_ENTRY_BYTES:
        raise EnvelopeError(f"it is longer than {MAX_ENTRY_BYTES} bytes; long texts belong into its contents")
    if type(plain["body"]) is not dict:
        raise EnvelopeError("its body is not an object")
    return Entry(seq, moment, draft.type, actor, draft.grant, draft.session, plain["body"], commitments, raw)


def parse_entry(raw: str) -> Entry:
    """
    Return the entry that `raw` is; raises `EnvelopeError` unless it is one in its only spelling.

    What it says is checked for form, not for truth: hashes and signatures do that.
    """
    if len(raw) > MAX_ENTRY_BYTES or len(raw.encode("utf-8", "replace")) > MAX_ENTRY_BYTES:
        raise EnvelopeError(f"it is longer than {MAX_ENTRY_BYTES} bytes")
    try:
        value = parse_canonical(raw)
    except CanonicalError as error:
        raise EnvelopeError(f"it is {error}") from error
    members = value.keys()
    if not members >= _REQUIRED or not members <= _ALLOWED:
        odd = ", ".join(sorted((_REQUIRED - members) | (members - _ALLOWED)))
        raise EnvelopeError(f"its envelope lacks, or should not have: {odd}")
    if value["v"] != ENTRY_VERSION or value["v"] is True:
        raise EnvelopeError(f"it is of version {value['v']!r}, not {ENTRY_VERSION}")
    return _entry(value, raw)


def _entry(value: dict[str, Any], raw: str) -> Entry:
    seq, kind, actor, body = value["seq"], value["type"], value["actor"], value["body"]
    if type(seq) is not int or seq < 0:
        raise EnvelopeError(f"its seq is not a number from 0: {seq!r}")
    if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
        raise EnvelopeError(f"its type is not one: {kind!r}")
    if type(body) is not dict:
        raise EnvelopeError("its body is not an object")
    if "clock_back" in value and value["clock_back"] is not True:
        raise EnvelopeError("its clock_back is not true")
    if type(actor) is not dict or actor.keys() != {"name", "vouched_by"}:
        raise EnvelopeError("its actor does not consist of name and vouched_by")
    for name in (actor["name"], actor["vouched_by"], value.get("grant", "-"), value.get("session", "-")):
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise EnvelopeError(f"the name of its actor, voucher, grant or session is not one: {name!r}")
    return Entry(
        seq,
        parse_moment(value["time"]),
        kind,
        Actor(actor["name"], actor["vouched_by"]),
        value.get("grant"),
        value.get("session"),
        body,
        _commitments(value["contents"]) if "contents" in value else {},
        raw,
    )


def _commitments(contents: object) -> dict[str, Commitment]:
    if type(contents) is not dict or not contents:
        raise EnvelopeError("its contents are not an object with members")
    commitments = {}
    for name, content in contents.items():
        if not _CONTENT_NAME.fullmatch(name):
            raise EnvelopeError(f"its contents have an impossible name: {name!r}")
        if type(content) is not dict or content.keys() != {"digest", "media_type", "size"}:
            raise EnvelopeError(f"its content {name} does not consist of digest, media_type and size")
        digest, media_type, size = content["digest"], content["media_type"], content["size"]
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise EnvelopeError(f"the digest of its content {name} is not 64 hex digits")
        if not isinstance(media_type, str) or not _MEDIA_TYPE.fullmatch(media_type):
            raise EnvelopeError(f"the media type of its content {name} is not one")
        if type(size) is not int or not 0 <= size <= MAX_INTEGER:
            raise EnvelopeError(f"the size of its content {name} is not one")
        commitments[name] = Commitment(digest, size, media_type)
    return commitments


def says_clock_back(entry: Entry) -> bool:
    """Return whether the entry says that the clock stood earlier than at the entry before it."""
    # The canonical text has this member, if at all, at its top level between `body` and `contents`; a
    # body could spell the same text inside, so the text alone does not tell.
    return '"clock_back":true' in entry.raw and parse_canonical(entry.raw).get("clock_back") is True
