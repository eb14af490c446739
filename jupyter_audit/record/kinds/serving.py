"""Kinds of entries about a server and its sessions, and about what people do beside cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jupyter_audit.model import Json
from jupyter_audit.record.kinds.base import Kind


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
class NoteMade(Kind):
    """
    Somebody puts a note beside what they do, for whoever reviews it; content `note` is what they wrote.

    `answered` is the entry of the `%audit note` that it was written with.
    """

    TYPE = "note.made"
    answered: int


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
class WitnessAlarm(Kind):
    """
    A witness cosigned something that this ledger does not extend: the ledger was put back or cut, or there are two of it.

    `sink` is the witness as `c.JupyterAudit.anchors` names it, `said` what is wrong in words, `since` when it was first seen.
    `stands` is false where the witness cosigns again: then the alarm that began at `since` is over.
    """

    TYPE = "witness.alarm"
    sink: str
    stands: bool
    since: str
    said: str


@dataclass(frozen=True, slots=True)
class SessionStarted(Kind):
    """
    A kernel or a terminal began its life. The actor is its owner: nobody else may send it anything.

    `isolation` is the rung in force for this kernel; `notebook` the path the client named (its word). Of a terminal
    `kernel_name` is `(terminal)` and `notebook` the folder that it began in. `network` is what it may use of it,
    `network_by` what keeps it to that (nothing keeps an open one); `account` whom it runs as, if not the server's account.
    `folder` is the one in which the server starts it: what its code names without a folder is there.
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
    folder: str = ""


@dataclass(frozen=True, slots=True)
class SessionMoved(Kind):
    """
    A client named another path for what it uses a session's kernel for: its word, as in session.started.

    A notebook was renamed or moved (`previous` is its path until now), or another one shares the kernel (`previous` is
    empty). The actor is who asked.
    """

    TYPE = "session.moved"
    kernel_id: str
    notebook: str
    previous: str


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
    `taken_over` (somebody else carries its grant on), `idle` (for as long as its profile says), `died`, `not_started` (its
    program is missing, or its sandbox could not be entered), `canary`, `foreign_code`, `not_recorded`, `no_room`,
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

    `door` is who refused it: `guard` (the handler `target` is closed on an audited server), `authorizer` (the
    resource `target` is not theirs to use so) or `terminals` (the terminal `target` is not theirs). What is not there
    (terminals, extensions that are not loaded) is put down too, as `no_such_address`, unless it was only read. `path` is
    without its query. What is only read is put down once in ten minutes for each person and target.
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

    `action` is `saved` (or brought back from a checkpoint), `renamed` (from `source`) or `deleted`; `bytes` and `sha256` are of
    the file as it was saved, empty for a folder. The bytes themselves are not kept.

    `piece` is the number of a piece of an upload, as the client counts: 1 begins the file anew, each further one is appended, -1
    is the last; 0 is what was saved whole. A piece's `bytes` and `sha256` are its own; with the last one they are those of the
    whole file. Where none is the last the upload was given up, and the file begins with the pieces that stand here.
    """

    TYPE = "file.changed"
    action: str
    path: str
    source: str
    bytes: int
    sha256: str
    piece: int = 0


@dataclass(frozen=True, slots=True)
class CanaryRead(Kind):
    """The canary cell of a new kernel was recorded, ran, and was read back from the ledger (or was not)."""

    TYPE = "session.canary"
    kernel_id: str
    cell: int
    passed: bool
    failure: str
