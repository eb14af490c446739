"""
What changed in the policy, and the entry that says so: whatever was in force is told by entries (P4, P9).

`policy.changed` and `server.started` hold the policy whole, so any two can be compared later. Pure but for `recorded`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from jupyter_audit.access.policy import Policy, digest_of
from jupyter_audit.errors import UsageError
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.model import Actor, Draft, Entry, Json
from jupyter_audit.record import kinds

HOLD_A_POLICY = (kinds.ServerStarted.TYPE, kinds.PolicyChanged.TYPE)


@dataclass(frozen=True, slots=True)
class Change:
    """One value that is another now: `op` is add, remove or replace, `path` a JSON Pointer (RFC 6901)."""

    op: str
    path: str
    old: Json = None
    new: Json = None

    def to_json(self) -> dict[str, Json]:
        """Return the change in the form of a JSON Patch operation (RFC 6902), with what was there besides."""
        row: dict[str, Json] = {"op": self.op, "path": self.path}
        if self.op != "add":
            row["old"] = self.old
        if self.op != "remove":
            row["value"] = self.new
        return row

    def __str__(self) -> str:
        where = self.path.lstrip("/").replace("/", ".").replace("~1", "/").replace("~0", "~")
        old, new = (json.dumps(value, ensure_ascii=False) for value in (self.old, self.new))
        if self.op == "add":
            return f"+ {where}: {new}"
        return f"- {where}: {old}" if self.op == "remove" else f"~ {where}: {old} -> {new}"


def changes(old: Mapping[str, Json], new: Mapping[str, Json]) -> list[Change]:
    """Return how to come from one policy to another, in order of the paths. Lists are compared as wholes."""
    return sorted(_changes("", old, new), key=lambda change: change.path)


def _changes(path: str, old: Mapping[str, Json], new: Mapping[str, Json]) -> Iterator[Change]:
    for key in {**old, **new}:
        way = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
        if key not in new:
            yield Change("remove", way, old=old[key])
        elif key not in old:
            yield Change("add", way, new=new[key])
        else:
            before, after = old[key], new[key]
            if isinstance(before, Mapping) and isinstance(after, Mapping):
                yield from _changes(way, before, after)
            elif before != after or type(before) is not type(after):
                yield Change("replace", way, old=before, new=after)


@dataclass(frozen=True, slots=True)
class Recorded:
    """The policy that an entry holds."""

    seq: int
    policy: Mapping[str, Json]
    digest: str


def recorded(reader: LedgerReader) -> Recorded | None:
    """Return the policy that the newest entry which holds one says was in force. Raises `LedgerError`."""
    for entry in reader.entries(types=HOLD_A_POLICY, newest_first=True, limit=1):
        return _held(entry)
    return None


def recorded_by(reader: LedgerReader, seq: int) -> Recorded:
    """Return the policy that was in force by the entry `seq`: its own, or that of the newest before it. Raises `UsageError`."""
    for entry in reader.entries(stop=seq + 1, types=HOLD_A_POLICY, newest_first=True, limit=1):
        return _held(entry)
    raise UsageError(
        f"No entry up to {seq} says which policy was in force.",
        advice=f"`jupyter audit log --type {kinds.PolicyChanged.TYPE}` lists those that do.",
    )


def _held(entry: Entry) -> Recorded:
    policy = entry.body.get("policy")
    held = policy if isinstance(policy, Mapping) else {}
    # Worked out anew: a digest beside a policy that it is not of would hide a change.
    return Recorded(entry.seq, held, digest_of(held))


def as_far_as_known(policy: Policy, last: Recorded | None) -> dict[str, Json]:
    """Return a policy as JSON; who names people, where it does not say, as it was recorded last: that did not change by it."""
    now = policy.to_json()
    if policy.identity is None and last is not None and "identity" in last.policy:
        now["identity"] = last.policy["identity"]
    return now


def unsaid(policy: Policy, reader: LedgerReader, actor: Actor, noticed_by: str) -> list[Draft]:
    """Return the entry that says that another policy is in force than was recorded last; nothing if it is the same."""
    last = recorded(reader)
    now = as_far_as_known(policy, last)
    digest = digest_of(now)
    if last is not None and last.digest == digest:
        return []
    kind = kinds.PolicyChanged(
        digest=digest,
        previous="" if last is None else last.digest,
        changes=[] if last is None else [change.to_json() for change in changes(last.policy, now)],
        policy=now,
        noticed_by=noticed_by,
    )
    return [kinds.draft(kind, actor=actor)]
