"""
The envelope: what every entry says beside its body, and the one form it has (docs/ledger-format.md).

A member that would be null, empty or false is absent, so that one meaning has one spelling.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from jupyter_audit.ledger.canonical import CanonicalError, canonicalize, parse_canonical, quote
from jupyter_audit.model import Actor, Commitment, Draft, Entry, Json

ENTRY_VERSION = 1
MAX_ENTRY_BYTES = 1024 * 1024
"""An entry's canonical text in UTF-8; code and output belong into contents."""

CREATED = "ledger.created"
KEY_ROTATED = "ledger.key_rotated"
PURGED = "content.purged"
MOST_CONTENTS = 256
"""Contents of one entry: their numbers in the file are made from the entry's (docs/ledger-format.md, section 6)."""
OWN_TYPES = frozenset({CREATED, KEY_ROTATED, PURGED})
"""What the ledger says of itself, which decides how it is verified."""

_TYPE = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)+")
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,256}")
_CONTENT_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_MEDIA_TYPE = re.compile(r"[\x20-\x7e]{1,256}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z")
"""Later versions of Python take the hour 24 for the next day's first."""

_REQUIRED = frozenset({"actor", "body", "seq", "time", "type", "v"})
_ALLOWED = _REQUIRED | {"clock_back", "commit", "contents", "grant", "session"}


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


class Frame(NamedTuple):
    """The texts of an envelope that are the same for all entries of a kind, an actor, a session and a grant."""

    before_body: str
    before_seq: str
    before_time: str
    end: str


@lru_cache(maxsize=256)  # the same few come again with every entry of a session
def frame(kind: str, actor: str, vouched_by: str, session: str | None, grant: str | None) -> Frame:
    """Return the frame of such entries; raises `EnvelopeError` unless type, names and identifiers are of the format's form."""
    if not _TYPE.fullmatch(kind):
        raise EnvelopeError(f"not an entry type: {kind!r}")
    for what, name in (
        ("actor", actor),
        ("actor's voucher", vouched_by),
        ("session", session),
        ("grant", grant),
    ):
        if name is not None and not _is_name(name):
            raise EnvelopeError(f"the name of its {what} has 1 to 256 characters, none of control: {name!r}")
    return Frame(
        f'{{"actor":{{"name":{quote(actor)},"vouched_by":{quote(vouched_by)}}},"body":',
        ',"seq":' if grant is None else f',"grant":{quote(grant)},"seq":',
        ',"time":"' if session is None else f',"session":{quote(session)},"time":"',
        f'","type":"{kind}","v":{ENTRY_VERSION}}}',
    )


def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and (name.isascii() or _is_unicode(name))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Unnumbered(NamedTuple):
    """An entry of which all is written down that can be before its commit: it lacks its number and its time."""

    draft: Draft
    body: Mapping[str, Json]
    commitments: Mapping[str, Commitment]
    frame: Frame
    body_text: str
    contents_text: str


def write_down(draft: Draft, commitments: Mapping[str, Commitment]) -> Unnumbered:
    """Return the entry that `draft` becomes, but for its number and time; raises `EnvelopeError` if it has no canonical form."""
    actor = draft.actor
    around = frame(draft.type, actor.name, actor.vouched_by, draft.session, draft.grant)
    if not isinstance(draft.body, Mapping):
        raise EnvelopeError("its body is not an object")
    if len(commitments) > MOST_CONTENTS:
        raise EnvelopeError(f"it has {len(commitments)} contents; {MOST_CONTENTS} are the most")
    try:
        body_text, body = canonicalize(draft.body, depth=1)
    except CanonicalError as error:
        raise EnvelopeError(f"its body cannot be written down: {error}") from error
    contents_text = _contents_text(commitments) if commitments else ""
    return Unnumbered(draft, body, commitments, around, body_text, contents_text)


def format_entry(entry: Unnumbered, seq: int, moment: datetime, time: str, *, clock_back: bool, commit: int) -> Entry:
    """
    Return the entry with its number and time; its `raw` is the canonical text. `time` is the text of `moment`.

    `commit` is how many entries its commit has, if it is the first of them. Raises `EnvelopeError` if it is too long.
    """
    draft, body, commitments, (before_body, before_seq, before_time, end), body_text, contents_text = entry
    # The members are in canonical order.
    first = ',"clock_back":true' if clock_back else ""
    if commit > 1:
        first += f',"commit":{commit}'
    raw = f"{before_body}{body_text}{first}{contents_text}{before_seq}{seq}{before_time}{time}{end}"
    if len(raw) * 4 > MAX_ENTRY_BYTES and len(raw.encode()) > MAX_ENTRY_BYTES:
        raise EnvelopeError(f"it is longer than {MAX_ENTRY_BYTES} bytes; long texts belong into its contents")
    return Entry(seq, moment, draft.type, draft.actor, draft.grant, draft.session, body, commitments, raw)


def _contents_text(commitments: Mapping[str, Commitment]) -> str:
    if len(commitments) == 1:  # nearly always
        [(name, commitment)] = commitments.items()
        return f',"contents":{{{_content_text(name, commitment)}}}'
    members = ",".join([_content_text(name, commitments[name]) for name in sorted(commitments)])
    return f',"contents":{{{members}}}'


def _content_text(name: str, commitment: Commitment) -> str:
    digest, size, media_type, sealed = commitment
    before_digest, after_digest = _content_frame(name, media_type)
    also = "" if sealed is None else f',"sealed":"{sealed}"'
    return f'{before_digest}{digest}{after_digest}{also},"size":{size}}}'


@lru_cache(maxsize=256)
def _content_frame(name: str, media_type: str) -> tuple[str, str]:
    """Return what stands before and after a content's digest; raises `EnvelopeError` unless both are of the format's form."""
    if not _CONTENT_NAME.fullmatch(name):
        raise EnvelopeError(f"not a content name: {name!r}")
    if not _MEDIA_TYPE.fullmatch(media_type):
        raise EnvelopeError(f"not a media type: {media_type!r}")
    return f'"{name}":{{"digest":"', f'","media_type":{quote(media_type)}'


@dataclass(frozen=True, slots=True)
class Envelope:
    """An entry, and what else its envelope says."""

    entry: Entry
    clock_back: bool
    commit: int
    """How many entries its commit has, if the entry says so."""


def parse_envelope(raw: str) -> Envelope:
    """
    Return what `raw` says; raises `EnvelopeError` unless it is an entry in its only spelling.

    What it says is checked for form, not for truth: hashes and signatures do that.
    """
    try:
        if len(raw) * 4 > MAX_ENTRY_BYTES and len(raw.encode()) > MAX_ENTRY_BYTES:
            raise EnvelopeError(f"it is longer than {MAX_ENTRY_BYTES} bytes")
        value = parse_canonical(raw)
    except (CanonicalError, UnicodeEncodeError) as error:
        raise EnvelopeError(f"it is {error}") from error
    if not _are_members(tuple(value)):
        members = value.keys()
        odd = ", ".join(sorted((_REQUIRED - members) | (members - _ALLOWED)))
        raise EnvelopeError(f"its envelope lacks, or should not have: {odd}")
    if type(value["v"]) is not int or value["v"] != ENTRY_VERSION:
        raise EnvelopeError(f"it is of version {value['v']!r}, not {ENTRY_VERSION}")
    commit = value.get("commit", 2)
    if type(commit) is not int or commit < 2:
        raise EnvelopeError(f"its commit is not a number from 2: {commit!r}")
    if value.get("clock_back", True) is not True:
        raise EnvelopeError("its clock_back is not true")
    return Envelope(_entry(value, raw), "clock_back" in value, value.get("commit", 1))


def _entry(value: dict[str, Any], raw: str) -> Entry:
    seq, kind, actor, body = value["seq"], value["type"], value["actor"], value["body"]
    if type(seq) is not int or seq < 0:
        raise EnvelopeError(f"its seq is not a number from 0: {seq!r}")
    if not isinstance(kind, str) or not _is_type(kind):
        raise EnvelopeError(f"its type is not one: {kind!r}")
    if type(body) is not dict:
        raise EnvelopeError("its body is not an object")
    if type(actor) is not dict or actor.keys() != {"name", "vouched_by"}:
        raise EnvelopeError("its actor does not consist of name and vouched_by")
    for name in (actor["name"], actor["vouched_by"], value.get("grant", "-"), value.get("session", "-")):
        if not isinstance(name, str) or not _is_spelled_as_name(name):
            raise EnvelopeError(f"the name of its actor, voucher, grant or session is not one: {name!r}")
    return Entry(
        seq,
        parse_moment(value["time"]),
        kind,
        _actor(actor["name"], actor["vouched_by"]),
        value.get("grant"),
        value.get("session"),
        body,
        parse_commitments(value["contents"]) if "contents" in value else {},
        raw,
    )


# What a verification asks of every entry, of the same few values each time.
_is_type = lru_cache(maxsize=1024)(lambda kind: _TYPE.fullmatch(kind) is not None)
_is_spelled_as_name = lru_cache(maxsize=1024)(lambda name: _NAME.fullmatch(name) is not None)
_is_media_type = lru_cache(maxsize=1024)(lambda media_type: _MEDIA_TYPE.fullmatch(media_type) is not None)
_is_content_name = lru_cache(maxsize=1024)(lambda name: _CONTENT_NAME.fullmatch(name) is not None)
_are_members = lru_cache(maxsize=1024)(lambda members: frozenset(members) >= _REQUIRED and frozenset(members) <= _ALLOWED)
_actor = lru_cache(maxsize=1024)(Actor)


def parse_commitments(contents: object) -> dict[str, Commitment]:
    """Return what an entry's `contents` say; raises `EnvelopeError` for any other form."""
    if type(contents) is not dict or not contents:
        raise EnvelopeError("its contents are not an object with members")
    if len(contents) > MOST_CONTENTS:
        raise EnvelopeError(f"it has {len(contents)} contents; {MOST_CONTENTS} are the most")
    commitments = {}
    for name, content in contents.items():
        if not _is_content_name(name):
            raise EnvelopeError(f"its contents have an impossible name: {name!r}")
        if type(content) is not dict or content.keys() - {"sealed"} != {"digest", "media_type", "size"}:
            raise EnvelopeError(f"its content {name} does not consist of digest, media_type, size and maybe sealed")
        digest, media_type, size = content["digest"], content["media_type"], content["size"]
        sealed = content.get("sealed")
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise EnvelopeError(f"the digest of its content {name} is not 64 hex digits")
        if not isinstance(media_type, str) or not _is_media_type(media_type):
            raise EnvelopeError(f"the media type of its content {name} is not one")
        if type(size) is not int or size < 0:
            raise EnvelopeError(f"the size of its content {name} is not one")
        if "sealed" in content and not (isinstance(sealed, str) and _DIGEST.fullmatch(sealed)):
            raise EnvelopeError(f"what its content {name} is sealed as is not 64 hex digits")
        commitments[name] = Commitment(digest, size, media_type, sealed)
    return commitments
