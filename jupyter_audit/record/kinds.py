"""
Every kind of entry: one dataclass each, whose docstring is its documentation (docs/entries.md).

A kind's fields are the entry's `body`. Who acted, the grant and the session stand in the entry's
envelope; code and output stand in its contents, never in the body, so that they can be purged (P6).
Durations are whole seconds or milliseconds as the name says; times are RFC 3339 texts. Fields named
`reported_by` say whose word it is when it is not the server's own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, cast

from jupyter_audit.errors import LedgerError
from jupyter_audit.model import SERVER, Actor, Content, Draft, Entry, Json

NEVER_SENT = "never sent to the kernel"
"""The `error` of an admitted cell that the server did not send after all."""


class Kind:
    """Base of all kinds; `TYPE` is the entry's type."""

    TYPE: ClassVar[str]


# --- access: the way of a grant -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AccessRequested(Kind):
    """
    Somebody asks for a grant. The actor is the requester; `lapses` is when the request goes unanswered.

    `target` names what is to be debugged, `starts` when a grant is to begin that does not begin at its approval.
    `extends` is the grant that is to last longer, `takes_over` the one of somebody else that is to be carried on.
    `approvals` is how many people must say yes. `groups` are the requester's, as the identity provider named them;
    `on_behalf_of` is whom a service asks for.
    `ticket_checked` says that the profile's tracker called the ticket open.
    `signed_approvals` says that only a yes that its approver signed counts (docs/signed-approvals.md).
    """

    TYPE = "access.requested"
    request: str
    profile: str
    reason: str
    ticket: str
    duration_s: int
    lapses: str
    target: str = ""
    starts: str = ""
    extends: str = ""
    takes_over: str = ""
    approvals: int = 1
    groups: Sequence[str] = ()
    on_behalf_of: str = ""
    ticket_checked: bool = False
    signed_approvals: bool = False


@dataclass(frozen=True, slots=True)
class AccessEndorsed(Kind):
    """
    An approver says yes to a request that needs more than one; the last yes is the approval.

    `statement` and `signature` as in access.approved.
    """

    TYPE = "access.endorsed"
    request: str
    statement: str = ""
    signature: str = ""


@dataclass(frozen=True, slots=True)
class AccessApproved(Kind):
    """
    An approver says yes; the clock of the grant starts here. The envelope's `grant` is the new grant.

    `principal` is whom it was given to. `self_approved` is true only in solo mode, or where a profile
    allows it, and says that requester and approver are one person. `takes_over` is the grant of
    somebody else that ends here, because this one carries it on. `statement` is what the approver signed with a key of
    their own, if they did, and `signature` the Ed25519 signature in base64 (docs/signed-approvals.md).
    """

    TYPE = "access.approved"
    request: str
    principal: str
    vouched_by: str
    profile: str
    not_before: str
    not_after: str
    self_approved: bool
    solo: bool
    takes_over: str = ""
    statement: str = ""
    signature: str = ""


@dataclass(frozen=True, slots=True)
class AccessExtended(Kind):
    """
    An approver says yes to a request for more time: the grant in the envelope lasts until `not_after` now.

    `statement` and `signature` as in access.approved.
    """

    TYPE = "access.extended"
    request: str
    not_after: str
    self_approved: bool
    solo: bool
    statement: str = ""
    signature: str = ""


@dataclass(frozen=True, slots=True)
class AccessBreakGlass(Kind):
    """
    Somebody takes access without asking, for an emergency. The actor holds the grant in the envelope.

    It is a finding at once, and stays open until somebody else has reviewed it (`access.reviewed`).
    """

    TYPE = "access.break_glass"
    profile: str
    reason: str
    ticket: str
    target: str
    not_before: str
    not_after: str


@dataclass(frozen=True, slots=True)
class AccessReviewed(Kind):
    """
    Somebody else looked at what was done under a break-glass grant, and says what they found.

    `justified` is their judgement; `comment` their reasons.
    """

    TYPE = "access.reviewed"
    justified: bool
    comment: str


@dataclass(frozen=True, slots=True)
class AccessDenied(Kind):
    """An approver says no, and why. `statement` and `signature` as in access.approved."""

    TYPE = "access.denied"
    request: str
    reason: str
    statement: str = ""
    signature: str = ""


@dataclass(frozen=True, slots=True)
class AccessWithdrawn(Kind):
    """The requester takes an unanswered request back."""

    TYPE = "access.withdrawn"
    request: str


@dataclass(frozen=True, slots=True)
class AccessLapsed(Kind):
    """A request was not answered in time."""

    TYPE = "access.lapsed"
    request: str


@dataclass(frozen=True, slots=True)
class AccessRevoked(Kind):
    """An approver, an admin or the holder ends a live grant before its time."""

    TYPE = "access.revoked"
    reason: str


@dataclass(frozen=True, slots=True)
class AccessExpired(Kind):
    """A grant reached its end. Put down by the server that noticed; the end itself is in the approval."""

    TYPE = "access.expired"
    not_after: str


@dataclass(frozen=True, slots=True)
class AccessRefused(Kind):
    """Somebody tried to request, approve, deny or revoke and was not allowed to."""

    TYPE = "access.refused"
    action: str
    target: str
    cause: str


# --- people -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PeopleAdded(Kind):
    """
    An admin added somebody to the people file. `kind` is `person` or `service`; a service acts `on_behalf_of` a person.

    `credential` is what they were given: `password`, `token` or nothing. `digest` is the SHA-256 of the file from here
    on: a file of another digest counts for nobody.
    """

    TYPE = "people.added"
    person: str
    kind: str
    groups: Sequence[str]
    on_behalf_of: str
    credential: str
    digest: str


@dataclass(frozen=True, slots=True)
class PeopleChanged(Kind):
    """
    An admin gave somebody another password, token or groups; `what` says which. `groups` are those from here on.

    `digest` as in people.added.
    """

    TYPE = "people.changed"
    person: str
    what: str
    groups: Sequence[str]
    digest: str


@dataclass(frozen=True, slots=True)
class PeopleRemoved(Kind):
    """An admin took somebody out of the people file. From here on they are nobody. `digest` as in people.added."""

    TYPE = "people.removed"
    person: str
    digest: str


@dataclass(frozen=True, slots=True)
class PeopleAccepted(Kind):
    """An admin took a people file as it is, which the ledger had not said to be so. `people` are those in it."""

    TYPE = "people.accepted"
    people: Sequence[str]
    digest: str
@dataclass(frozen=True, slots=True)
class AccessKeyRegistered(Kind):
    """
    An approver registers the public key that they sign approvals with. The actor is whose key it is.

    `key` is a verifier key as signed notes have it. `proof` is its signature over ledger, name and key: nobody registers a
    key that they do not hold. `replaces` is the key that it follows, and `vouched` that one's signature over the same.
    """

    TYPE = "access.key_registered"
    key: str
    proof: str
    replaces: str = ""
    vouched: str = ""


@dataclass(frozen=True, slots=True)
class AccessKeyWithdrawn(Kind):
    """
    A person's key signs no more from here on, and why. The actor is that person, or an admin.

    `signature` is that of the key itself, where its owner still had it.
    """

    TYPE = "access.key_withdrawn"
    person: str
    key: str
    reason: str
    signature: str = ""


# --- server and sessions ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ServerStarted(Kind):
    """
    A server began to serve. `assured` and `unassured` list what it could and could not assert of itself.

    `mode` is `solo` or `shared`; `isolation` the best rung for its kernels; `policy` the settings in
    force, and `policy_digest` the SHA-256 of their canonical JSON.
    """

    TYPE = "server.started"
    server: str
    version: str
    mode: str
    launched: bool
    isolation: str
    policy: Mapping[str, Json]
    policy_digest: str
    assured: Sequence[str]
    unassured: Sequence[str]


@dataclass(frozen=True, slots=True)
class ServerStopped(Kind):
    """A server ended in order."""

    TYPE = "server.stopped"
    server: str


@dataclass(frozen=True, slots=True)
class AccessAcknowledged(Kind):
    """Somebody read the rules of a profile and said so. `version` is the SHA-256 of the very rules that they read."""

    TYPE = "access.acknowledged"
    profile: str
    version: str


@dataclass(frozen=True, slots=True)
class FeedbackGiven(Kind):
    """
    Somebody says what got in their way; content `feedback` is what they wrote.

    `about` is the number of the entry that it is about, a refusal or a wait of theirs, and `about_type` its type; -1 and
    nothing where it is about none.
    """

    TYPE = "feedback.given"
    about: int
    about_type: str


@dataclass(frozen=True, slots=True)
class PolicyChanged(Kind):
    """
    A server began, or somebody acts on the command line, under another policy than the one that was recorded last.

    `digest` and `previous` (empty: none was recorded) are SHA-256 of canonical JSON; `changes` lists each value that is
    another now, as a JSON Patch (RFC 6902) with the `old` value besides; `policy` is the new one, whole. `noticed_by`
    is `server` or `command line`: the actor noticed the change, and need not have made it.
    """

    TYPE = "policy.changed"
    digest: str
    previous: str
    changes: Sequence[Mapping[str, Json]]
    policy: Mapping[str, Json]
    noticed_by: str


@dataclass(frozen=True, slots=True)
class SessionStarted(Kind):
    """
    A kernel or a terminal began its life. The actor is its owner: nobody else may send it anything.

    `isolation` is the rung in force for this kernel; `notebook` the path the client named (its word). Of a terminal
    `kernel_name` is `(terminal)` and `notebook` the folder that it began in. `network` is what it may use of it,
    `network_by` what keeps it to that (nothing keeps an open one); `account` whom it runs as, if not the server's account.
    """

    TYPE = "session.started"
    server: str
    kernel_id: str
    kernel_name: str
    isolation: str
    notebook: str
    network: str = "open"
    network_by: str = ""
    account: str = ""


@dataclass(frozen=True, slots=True)
class SessionBound(Kind):
    """
    The session's first admitted message bound it to the grant in the envelope: they end together. A terminal is
    bound as it starts.
    """

    TYPE = "session.bound"
    kernel_id: str
    not_after: str


@dataclass(frozen=True, slots=True)
class SessionEnded(Kind):
    """
    A kernel's or a terminal's life is over, with everything it started.

    `cause` is one of `shutdown`, `restart`, `exited` (a terminal's shell ended by itself), `expired`, `revoked`,
    `taken_over` (somebody else carries its grant on), `died`, `canary`, `foreign_code`, `not_recorded`, `no_room`,
    `observer` (`session.end_ordered` says who), `server_stopped`, `server_died` (put down by a later server; nobody saw
    it). `processes` counts what was still alive and was killed; `clean` is false if something of it could not be shown
    to be gone.
    """

    TYPE = "session.ended"
    kernel_id: str
    cause: str
    processes: int
    clean: bool


@dataclass(frozen=True, slots=True)
class SessionRefused(Kind):
    """A kernel or a terminal was not started, and why."""

    TYPE = "session.refused"
    kernel_name: str
    cause: str


@dataclass(frozen=True, slots=True)
class SessionWatched(Kind):
    """
    Somebody other than the owner began to watch a session, or stopped. The actor is who watches.

    `watching` is true at the beginning, false at the end. `through` is the way: `panel`, `websocket` or `terminal`.
    """

    TYPE = "session.watched"
    owner: str
    watching: bool
    through: str


@dataclass(frozen=True, slots=True)
class SessionEndOrdered(Kind):
    """Somebody other than the owner had a live session ended. The actor is who did; `session.ended` follows."""

    TYPE = "session.end_ordered"
    owner: str
    reason: str


@dataclass(frozen=True, slots=True)
class RequestRefused(Kind):
    """
    A request over HTTP, or a websocket, was refused at the server's door: the actor may not do that.

    `door` is who refused it: `guard` (the handler `target` is closed on an audited server) or `authorizer` (the
    resource `target` is not theirs to use so). What is not there (terminals, extensions that are not loaded) is put down
    too, as `no_such_address`, unless it was only read. `path` is without its query. What is only read is put down once in ten
    minutes for each person and target.
    """

    TYPE = "request.refused"
    method: str
    path: str
    door: str
    target: str
    cause: str


@dataclass(frozen=True, slots=True)
class FileChanged(Kind):
    """
    The actor saved, renamed or deleted a file of the notebook folder through the server. What cells write is not here.

    `action` is `saved` (or brought back from a checkpoint), `renamed` (from `source`) or `deleted`; `sha256` is over the
    file's bytes as they were saved, empty for a folder and for a piece of an upload. The bytes themselves are not kept.
    """

    TYPE = "file.changed"
    action: str
    path: str
    source: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class CanaryRead(Kind):
    """The canary cell of a new kernel was recorded, ran, and was read back from the ledger (or was not)."""

    TYPE = "session.canary"
    kernel_id: str
    cell: int
    passed: bool
    failure: str


# --- cells and other messages -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CellAdmitted(Kind):
    """
    An execute_request was covered by the grant in the envelope and went to the kernel after this entry was durable.

    Content `message` is the whole content of the message that was sent on, code included. `cell` is the
    client's name for the notebook cell; `msg_id` its name for the message: both are its word.
    """

    TYPE = "cell.admitted"
    kernel_id: str
    msg_id: str
    channel: str
    cell: str
    silent: bool
    store_history: bool
    lines: int
    canary: bool


@dataclass(frozen=True, slots=True)
class CellRefused(Kind):
    """An execute_request was refused and never reached the kernel. Content `message` as in cell.admitted; `cut` if not whole."""

    TYPE = "cell.refused"
    kernel_id: str
    msg_id: str
    channel: str
    cell: str
    cause: str
    lines: int
    cut: bool = False


@dataclass(frozen=True, slots=True)
class CellFinished(Kind):
    """
    An admitted cell came to its end. What it put out is the kernel's word, seen by the server's own watcher.

    `admitted` is the number of its entry. `status` is `ok`, `error`, `aborted`, `ended` (the session ended
    first) or `unknown`. `outputs` lists for each output its MIME type, bytes, lines, rows and whether its text was cut; content
    `outputs` holds digests (over the whole) and the first part of each text.
    """

    TYPE = "cell.finished"
    kernel_id: str
    admitted: int
    status: str
    error: str
    duration_ms: int
    outputs: Sequence[Mapping[str, Json]]
    complete: bool
    reported_by: str


@dataclass(frozen=True, slots=True)
class CellLateOutput(Kind):
    """Output that carried a cell's name after the cell had finished: something it started lives on."""

    TYPE = "cell.late_output"
    kernel_id: str
    admitted: int
    outputs: Sequence[Mapping[str, Json]]
    reported_by: str


@dataclass(frozen=True, slots=True)
class MessageAdmitted(Kind):
    """
    A message other than execute_request that can make the kernel run code went to it, under the grant.

    Content `message` is the whole content of the message. `masked` says that it was a password, which is not kept;
    `buffers` counts binary buffers, of which content `buffers` keeps sizes and digests.
    """

    TYPE = "message.admitted"
    kernel_id: str
    msg_id: str
    msg_type: str
    channel: str
    masked: bool = False
    buffers: int = 0


@dataclass(frozen=True, slots=True)
class MessageRefused(Kind):
    """A message other than execute_request was refused: no grant, unknown type, or it did not parse."""

    TYPE = "message.refused"
    kernel_id: str
    msg_id: str
    msg_type: str
    channel: str
    cause: str
    cut: bool = False
    masked: bool = False
    buffers: int = 0


@dataclass(frozen=True, slots=True)
class KernelReport(Kind):
    """Something the audit kernel says of itself, such as a message without a good permit. Its word only."""

    TYPE = "kernel.report"
    kernel_id: str
    report: str
    detail: Mapping[str, Json]
    reported_by: str


# --- terminals ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TerminalInput(Kind):
    """
    Something was typed into a terminal, and went to it after this entry was durable.

    `kernel_id` is the terminal's id, `at_ms` the milliseconds since it started. Content `input` holds the text.
    `masked` says that a line was typed while the terminal did not echo, as for a password, and is not kept; `bytes`
    counts it all the same.
    """

    TYPE = "terminal.input"
    kernel_id: str
    at_ms: int
    bytes: int
    masked: bool


@dataclass(frozen=True, slots=True)
class TerminalRefused(Kind):
    """Something was typed into a terminal and did not reach it, and why. Content `input` as in terminal.input."""

    TYPE = "terminal.refused"
    kernel_id: str
    at_ms: int
    bytes: int
    cause: str


@dataclass(frozen=True, slots=True)
class TerminalOutput(Kind):
    """
    What a terminal showed from `at_ms` to `until_ms`, in milliseconds since its start: the word of what runs in it.

    `bytes` counts all of it. Content `output` holds events of time, kind (`o` output, `r` new size) and text, and a
    digest over the whole; `cut` says that not all of the text is kept.
    """

    TYPE = "terminal.output"
    kernel_id: str
    at_ms: int
    until_ms: int
    bytes: int
    cut: bool


# --- what follows from entries ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FindingRaised(Kind):
    """A detection matched the entries named in `entries`. `level` is Sigma's: informational … critical."""

    TYPE = "finding.raised"
    rule: str
    title: str
    level: str
    explanation: str
    entries: Sequence[int]


@dataclass(frozen=True, slots=True)
class DetectionJudged(Kind):
    """
    Every entry up to `through` was judged by the detections, so they go on after it.

    `rules` names the rules that judged and the SHA-256 of each one's file: a rule that was taken away or
    changed shows here.
    """

    TYPE = "detection.judged"
    through: int
    rules: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class GapRecorded(Kind):
    """Something that should be in the ledger is not, and this says what and why."""

    TYPE = "gap.recorded"
    what: str
    detail: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class LedgerRead(Kind):
    """
    A person read other people's entries through the server or the command line (P9).

    What somebody searched for may be what is to be forgotten: it stands in the content `query`, which can be purged.
    """

    TYPE = "ledger.read"
    view: str
    detail: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class LedgerExported(Kind):
    """
    A person had entries written into a file, which no purge reaches; put down before the file was (P9).

    `entries` is how many the ledger had; of those the file has the ones that pass `filters`. `to` is the file as they
    named it, `-` for standard output; `contents` says whether code and output went with them, `auditors` whose keys
    opened what was sealed.
    """

    TYPE = "ledger.exported"
    form: str
    to: str
    contents: bool
    entries: int
    filters: Mapping[str, Json]
    auditors: Sequence[str]


KINDS: Mapping[str, type[Kind]] = {
    kind.TYPE: kind
    for kind in (
        AccessRequested,
        AccessEndorsed,
        AccessApproved,
        AccessExtended,
        AccessBreakGlass,
        AccessReviewed,
        AccessDenied,
        AccessWithdrawn,
        AccessLapsed,
        AccessRevoked,
        AccessExpired,
        AccessRefused,
        PeopleAdded,
        PeopleChanged,
        PeopleRemoved,
        PeopleAccepted,
        AccessKeyRegistered,
        AccessKeyWithdrawn,
        ServerStarted,
        ServerStopped,
        PolicyChanged,
        AccessAcknowledged,
        FeedbackGiven,
        SessionStarted,
        SessionBound,
        SessionEnded,
        SessionRefused,
        SessionWatched,
        SessionEndOrdered,
        RequestRefused,
        FileChanged,
        CanaryRead,
        CellAdmitted,
        CellRefused,
        CellFinished,
        CellLateOutput,
        MessageAdmitted,
        MessageRefused,
        KernelReport,
        TerminalInput,
        TerminalRefused,
        TerminalOutput,
        FindingRaised,
        DetectionJudged,
        GapRecorded,
        LedgerRead,
        LedgerExported,
    )
}
"""Every kind by its type. The ledger itself adds `ledger.created` (docs/ledger-format.md)."""

PEOPLE = frozenset({PeopleAdded.TYPE, PeopleChanged.TYPE, PeopleRemoved.TYPE, PeopleAccepted.TYPE})
"""The types whose newest entry says which people file is in force."""

K = TypeVar("K", bound=Kind)


def draft(
    kind: Kind,
    *,
    actor: Actor = SERVER,
    grant: str | None = None,
    session: str | None = None,
    contents: Mapping[str, Content] | None = None,
) -> Draft:
    """Return the draft that puts `kind` down for `actor`, under `grant`, in `session`."""
    body = {f.name: getattr(kind, f.name) for f in dataclasses.fields(cast(Any, kind))}
    return Draft(kind.TYPE, body, actor=actor, grant=grant, session=session, contents=contents or {})


def read(entry: Entry, kind: type[K]) -> K:
    """
    Return the entry's body as `kind`.

    Raises `LedgerError` if the entry is of another type or its body lacks a field that has always been there: such an
    entry was not written by this product, and nothing may be decided from it.
    """
    if entry.type != kind.TYPE:
        raise LedgerError(f"Entry {entry.seq} is {entry.type}, not {kind.TYPE}.")
    fields = dataclasses.fields(cast(Any, kind))
    # A field with a default came later than its kind: entries from before it do not have it.
    missing = [f.name for f in fields if f.name not in entry.body and f.default is dataclasses.MISSING]
    if missing:
        raise LedgerError(f"Entry {entry.seq} ({entry.type}) lacks {', '.join(missing)}.")
    return kind(**{f.name: entry.body[f.name] for f in fields if f.name in entry.body})
