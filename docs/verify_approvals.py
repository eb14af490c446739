"""
A second check of signed approvals, to be read in five minutes: the standard library, PyNaCl, verify_independently.py beside it.

    python verify_approvals.py LEDGER [NAME=KEY ...]

Written from signed-approvals.md. Run verify_independently.py first: this takes entries as they stand. Each NAME=KEY is the public
line that an approver told you, past the server. Prints who signed how much, and exits with 0, or with 1 if an answer or a key
in the ledger is not its approver's, or 2 for bad usage.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from nacl.exceptions import CryptoError
from verify_independently import Key, canonical, decode

ANSWERS = {"access.endorsed": "approve", "access.approved": "approve", "access.extended": "approve", "access.denied": "deny"}
STATEMENT = {"origin", "request", "entry", "requester", "profile", "ticket", "duration_s",
             "decision", "reason", "approver", "key", "time"}  # fmt: skip


def person(name: str) -> str:
    """Spellings of one name are one person."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).strip()


def need(holds: object, what: str) -> None:
    if not holds:
        raise ValueError(what)


def check(key: Key, domain: str, text: str, signature: object) -> None:
    """Raise ValueError unless the key signed the text for this purpose."""
    try:
        key.public.verify(domain.encode() + b"\0" + text.encode(), decode(str(signature)))
    except (CryptoError, ValueError) as error:
        raise ValueError("the signature does not hold") from error


@dataclass
class Approvals:
    """What the entries so far say. `keys` are those in force, by person; `good` those that were given, or signed in by one."""

    origin: str
    given: dict[str, set[str]]
    requests: dict[str, dict[str, Any]] = field(default_factory=dict)
    leaves: dict[str, str] = field(default_factory=dict)
    keys: dict[str, Key] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    ever: set[bytes] = field(default_factory=set)
    good: set[str] = field(default_factory=set)
    signed: Counter[str] = field(default_factory=Counter)
    forged: dict[int, str] = field(default_factory=dict)

    def take(self, raw: str) -> None:
        """Take in the next entry."""
        entry = json.loads(raw)
        try:
            match entry["type"]:
                case "access.requested":
                    if entry["body"]["request"] not in self.requests:
                        self.requests[entry["body"]["request"]] = entry
                        self.leaves[entry["body"]["request"]] = sha256(b"\0" + raw.encode()).hexdigest()
                case "access.key_registered":
                    self.register(entry)
                case "access.key_withdrawn":
                    self.withdraw(entry["body"])
                case kind if kind in ANSWERS:
                    self.answer(entry)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            if entry["type"] != "access.requested":
                self.forged[entry["seq"]] = str(error)

    def register(self, entry: dict[str, Any]) -> None:
        body, name = entry["body"], entry["actor"]["name"]
        key, old = Key(body["key"]), self.keys.get(person(name))
        need(bytes(key.public) not in self.ever, "the key was registered before")
        need(body.get("replaces", "") == (old.text if old else ""), "it replaces another key than it says")
        text = canonical({"key": key.text, "name": name, "origin": self.origin, "replaces": body.get("replaces", "")})
        check(key, "jupyter-audit approver key v1", text, body["proof"])
        if old:
            check(old, "jupyter-audit approver key v1", text, body.get("vouched"))
        need(old or not body.get("vouched"), "nothing can vouch for it")
        self.keys[person(name)], self.names[person(name)] = key, name
        self.ever.add(bytes(key.public))
        given = self.given.get(person(name))
        if (given and key.text in given) or (old and old.text in self.good):
            self.good.add(key.text)
        elif given:
            self.forged[entry["seq"]] = f"a key of {name} that is neither the one given nor signed in by it"

    def withdraw(self, body: dict[str, Any]) -> None:
        who = person(body["person"])
        holds = who in self.keys and self.keys[who].text == body["key"] and self.names[who] == body["person"]
        need(holds, "there is no such key")
        need(isinstance(body["reason"], str), "no reason is given")
        if body.get("signature"):
            text = canonical({"key": body["key"], "name": body["person"], "origin": self.origin})
            check(self.keys[who], "jupyter-audit approver key withdrawn v1", text, body["signature"])
        del self.keys[who]

    def answer(self, entry: dict[str, Any]) -> None:
        body, decision = entry["body"], ANSWERS[entry["type"]]
        request = self.requests.get(str(body.get("request")))
        if not body.get("statement") and not body.get("signature"):
            demanded = request and request["body"].get("signed_approvals") and decision == "approve"
            need(not demanded, "it is not signed, and had to be")
            return
        need(request, "it is signed, and answers no request")
        assert request is not None
        name, asked = entry["actor"]["name"], request["body"]
        need(person(name) in self.keys, f"{name} has no key in force")
        key, said = self.keys[person(name)], json.loads(body["statement"])
        need(isinstance(said, dict) and said.keys() == STATEMENT and canonical(said) == body["statement"], "it is no statement")
        expected = {
            "origin": self.origin, "request": asked["request"], "entry": self.leaves[asked["request"]],
            "requester": request["actor"]["name"], "profile": asked["profile"], "ticket": asked["ticket"],
            "duration_s": asked["duration_s"], "decision": decision, "reason": body["reason"] if decision == "deny" else "",
            "approver": name, "key": key.text, "time": said["time"],
        }  # fmt: skip
        need(said == expected and isinstance(said["time"], str), "it was signed for something else")
        check(key, "jupyter-audit approval v1", body["statement"], body["signature"])
        self.signed[name] += 1


def judge(ledger: Path, pins: list[str]) -> Approvals:
    """Return what a ledger says of its approvals; raises ValueError for pins that are none."""
    given: dict[str, set[str]] = {}
    for pin in pins:
        name, _, key = pin.partition("=")
        given.setdefault(person(name), set()).add(Key(key).text)
    database = sqlite3.connect(f"{ledger.absolute().as_uri()}?mode=ro", uri=True)
    try:
        origin = json.loads(database.execute("SELECT raw FROM entry WHERE seq = 0").fetchone()[0])["body"]["origin"]
        found = Approvals(origin, given)
        for (raw,) in database.execute("SELECT raw FROM entry WHERE type LIKE 'access.%' ORDER BY seq"):
            found.take(raw)
        return found
    finally:
        database.close()


def main(arguments: list[str]) -> int:
    if not arguments or not all("=" in pin for pin in arguments[1:]):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        found = judge(Path(arguments[0]), arguments[1:])
    except (sqlite3.Error, ValueError, TypeError) as error:
        print(error, file=sys.stderr)
        return 2
    for name, count in sorted(found.signed.items()):
        print(f"{count} answers signed by {name!r}")
    for seq, what in sorted(found.forged.items()):
        print(f"FORGED (entry {seq}): {what}")
    return 1 if found.forged else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
