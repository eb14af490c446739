"""
A second check of signed approvals, to be read in ten minutes: the standard library, PyNaCl, cryptography for passkeys, and
verify_independently.py beside it.

    python verify_approvals.py LEDGER [NAME=KEY ...]

Written from signed-approvals.md. Run verify_independently.py first: this takes entries as they stand. Each NAME=KEY is the public
line that an approver told you, past the server. Prints who signed how much, and exits with 0, or with 1 if an answer or a key
in the ledger is not its approver's, or 2 for bad usage.
"""

from __future__ import annotations

import base64
import json
import sqlite3
import sys
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from nacl.exceptions import CryptoError
from verify_independently import Key, canonical, decode

ANSWERS = {"access.endorsed": "approve", "access.approved": "approve", "access.extended": "approve", "access.denied": "deny"}
CELL_ANSWERS = {"cell.approved": "approve", "cell.denied": "deny"}


def person(name: str) -> str:
    """Spellings of one name are one person."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).strip()


def need(holds: object, what: str) -> None:
    if not holds:
        raise ValueError(what)


def decode_url(text: str) -> bytes:
    """Decode base64url without padding, in its one spelling."""
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    need(base64.urlsafe_b64encode(data).rstrip(b"=").decode() == text, "it is not canonical base64url")
    return data


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    need(len(dict(pairs)) == len(pairs), "a member is there twice")
    return dict(pairs)


@dataclass
class Passkey:
    """A passkey, for the host `rp_id`. `counter` is how often it has signed."""

    text: str
    credential: str
    rp_id: str
    counter: int = 0

    def __post_init__(self) -> None:
        prefix, algorithm, key = self.text.split(":")
        data = decode_url(key)
        self.public: Any = load_der_public_key(data)
        whole = data == self.public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        kind = (
            "ES256" if isinstance(self.public, EllipticCurvePublicKey) and isinstance(self.public.curve, SECP256R1)
            else "EdDSA" if isinstance(self.public, Ed25519PublicKey)
            else "RS256" if isinstance(self.public, RSAPublicKey) and 2048 <= self.public.key_size <= 4096 else ""
        )  # fmt: skip
        need(whole and prefix == "passkey" and algorithm == kind, "it is no public key of a passkey")
        need(self.rp_id and 0 < len(decode_url(self.credential)) < 1024, "it has no host or no id")

    def check(self, domain: str, text: str, answer: str) -> None:
        """Raise ValueError unless the passkey signed the text for this purpose, at its host, with its owner verified."""
        said = json.loads(answer)
        need(said.keys() == {"authenticatorData", "clientDataJSON", "id", "signature"}, "it is no passkey's answer")
        need(canonical(said) == answer and said["id"] == self.credential, "it is another passkey's answer")
        data, client, signature = (decode_url(said[name]) for name in ("authenticatorData", "clientDataJSON", "signature"))
        browser, rp_id = json.loads(client, object_pairs_hook=once), self.rp_id
        challenge = sha256(domain.encode() + b"\0" + text.encode()).digest()
        need(browser["type"] == "webauthn.get" and decode_url(browser["challenge"]) == challenge, "it signed something else")
        url = urlsplit(browser["origin"])
        local = url.scheme == "http" and f".{url.hostname}".endswith(".localhost")
        need(url.scheme == "https" or local, "it signed at no safe address")
        need(browser["origin"] == f"{url.scheme}://{url.netloc}", "it signed at an address that is no origin")
        need("@" not in url.netloc and f".{url.hostname}".endswith(f".{rp_id}"), "it signed at another host")
        need(browser.get("crossOrigin", False) is False and "topOrigin" not in browser, "it signed in another site's page")
        need(len(data) >= 37 and data[:32] == sha256(rp_id.encode()).digest(), "it signed for another host")
        need(data[32] & 0x05 == 0x05, "nobody was there, or it was not verified who")
        need(data[32] & 0x18 != 0x10 and (data[32] & 0xC0 or len(data) == 37), "its data is malformed")
        count = int.from_bytes(data[33:37], "big")
        need(count > self.counter or count == self.counter == 0, "its counter did not go on: it may have been copied")
        how = {EllipticCurvePublicKey: (ECDSA(SHA256()),), RSAPublicKey: (PKCS1v15(), SHA256())}
        options: tuple[Any, ...] = next((found for kind, found in how.items() if isinstance(self.public, kind)), ())
        try:
            self.public.verify(signature, data + sha256(client).digest(), *options)
        except InvalidSignature as error:
            raise ValueError("the passkey's signature does not hold") from error
        self.counter = count


def check(key: Key | Passkey, domain: str, text: str, signature: object) -> None:
    """Raise ValueError unless the key or passkey signed the text for this purpose."""
    if isinstance(key, Passkey):
        key.check(domain, text, str(signature))
        return
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
    cells: dict[str, tuple[dict[str, Any], str]] = field(default_factory=dict)
    keys: dict[str, Key] = field(default_factory=dict)
    passkeys: dict[str, list[Passkey]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)  # of a key's text: as its registration spells its owner's
    ever: set[bytes | str] = field(default_factory=set)
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
                case "access.passkey_registered":
                    self.register_passkey(entry)
                case "access.key_withdrawn":
                    self.withdraw(entry["body"])
                case kind if kind in ANSWERS:
                    self.answer(entry)
                case "cell.held":
                    self.cells.setdefault(entry["body"]["hold"], (entry, sha256(b"\0" + raw.encode()).hexdigest()))
                case kind if kind in CELL_ANSWERS:
                    self.answer_cell(entry)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, UnsupportedAlgorithm) as error:
            if entry["type"] not in ("access.requested", "cell.held"):
                self.forged[entry["seq"]] = str(error)

    def signer(self, name: str, signature: object) -> Key | Passkey:
        """Return the person's key, or the passkey that the signature names."""
        if not str(signature).startswith("{"):
            need(person(name) in self.keys, f"{name} has no key in force")
            return self.keys[person(name)]
        named = [each for each in self.passkeys.get(person(name), ()) if each.credential == json.loads(str(signature))["id"]]
        need(named, f"{name} has no such passkey")
        return named[0]

    def vouch(self, name: str, domain: str, text: str, by: Key | Passkey | None, vouched: object) -> Key | Passkey | None:
        """Return what signed a new key of this person in, or None where they have nothing that could."""
        if not self.keys.get(person(name)) and not self.passkeys.get(person(name)):
            need(not vouched, "nothing can vouch for it")
            return None
        need(vouched, "nothing vouches for it")
        by = by or self.signer(name, vouched)
        check(by, domain, text, vouched)
        return by

    def register(self, entry: dict[str, Any]) -> None:
        body, name = entry["body"], entry["actor"]["name"]
        key, old = Key(body["key"]), self.keys.get(person(name))
        need(bytes(key.public) not in self.ever, "the key was registered before")
        need(body.get("replaces", "") == (old.text if old else ""), "it replaces another key than it says")
        text = canonical({"key": key.text, "name": name, "origin": self.origin, "replaces": body.get("replaces", "")})
        check(key, "jupyter-audit approver key v1", text, body["proof"])
        by = self.vouch(name, "jupyter-audit approver key v1", text, old, body.get("vouched"))
        self.keys[person(name)] = key
        self.ever.add(bytes(key.public))
        self.came(entry, name, key, by)

    def register_passkey(self, entry: dict[str, Any]) -> None:
        body, name = entry["body"], entry["actor"]["name"]
        key = Passkey(body["key"], body["credential"], body["rp_id"])
        need(not {key.text, key.credential} & self.ever, "the passkey was registered before")
        said = {member: body[member] for member in ("key", "credential", "rp_id", "label", "aaguid")}
        text = canonical({**said, "name": name, "origin": self.origin})
        check(key, "jupyter-audit passkey v1", text, body["proof"])
        by = self.vouch(name, "jupyter-audit passkey v1", text, None, body.get("vouched"))
        self.passkeys.setdefault(person(name), []).append(key)
        self.ever |= {key.text, key.credential}
        self.came(entry, name, key, by)

    def came(self, entry: dict[str, Any], name: str, key: Key | Passkey, by: Key | Passkey | None) -> None:
        """Compare a key that was registered with those that were given."""
        self.names[key.text] = name
        given = self.given.get(person(name))
        if (given and key.text in given) or (by and by.text in self.good):
            self.good.add(key.text)
        elif given:
            self.forged[entry["seq"]] = f"a key of {name} that is neither one given nor signed in by one"

    def withdraw(self, body: dict[str, Any]) -> None:
        who, passkeys = person(body["person"]), self.passkeys.get(person(body["person"]), [])
        found = next((each for each in (self.keys.get(who), *passkeys) if each and each.text == body["key"]), None)
        need(found and self.names[found.text] == body["person"], "there is no such key")
        assert found is not None
        need(isinstance(body["reason"], str), "no reason is given")
        if body.get("signature"):
            text = canonical({"key": body["key"], "name": body["person"], "origin": self.origin})
            check(found, "jupyter-audit approver key withdrawn v1", text, body["signature"])
        if isinstance(found, Passkey):
            passkeys.remove(found)
        else:
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
        self.said(entry, "jupyter-audit approval v1", {
            "request": asked["request"], "entry": self.leaves[asked["request"]], "requester": request["actor"]["name"],
            "profile": asked["profile"], "ticket": asked["ticket"], "duration_s": asked["duration_s"], "decision": decision,
        })  # fmt: skip
        self.signed[name] += 1

    def said(self, entry: dict[str, Any], domain: str, expected: dict[str, Any]) -> None:
        """Raise ValueError unless the entry's actor signed just this, besides what every answer's statement has."""
        body, name = entry["body"], entry["actor"]["name"]
        key, said = self.signer(name, body["signature"]), json.loads(body["statement"])
        need(isinstance(said, dict) and canonical(said) == body["statement"], "it is no statement")
        whole = expected | {
            "origin": self.origin, "reason": body["reason"] if expected["decision"] == "deny" else "", "approver": name,
            "key": key.text, "time": said["time"],
        }  # fmt: skip
        if isinstance(key, Passkey):
            need(isinstance(said["nonce"], str) and len(said["nonce"]) >= 32, "it has no nonce that will do")
            whole |= {"key": "passkey", "nonce": said["nonce"]}
        need(said == whole and isinstance(said["time"], str), "it was signed for something else")
        check(key, domain, body["statement"], body["signature"])

    def answer_cell(self, entry: dict[str, Any]) -> None:
        body, decision, name = entry["body"], CELL_ANSWERS[entry["type"]], entry["actor"]["name"]
        held, leaf = self.cells.get(str(body.get("hold")), (None, ""))
        if not body.get("statement") and not body.get("signature"):
            demanded = held and held["body"].get("signed_approvals") and decision == "approve"
            need(not demanded, "it is not signed, and had to be")
            return
        need(held, "it is signed, and answers no held cell")
        assert held is not None
        self.said(entry, "jupyter-audit cell approval v1", {
            "hold": held["body"]["hold"], "entry": leaf, "requester": held["actor"]["name"],
            "profile": held["body"]["profile"], "decision": decision,
        })  # fmt: skip
        self.signed[name] += decision == "approve"


def judge(ledger: Path, pins: list[str]) -> Approvals:
    """Return what a ledger says of its approvals; raises ValueError for pins that are none."""
    given: dict[str, set[str]] = {}
    for pin in pins:
        name, _, key = pin.partition("=")
        given.setdefault(person(name), set()).add((Passkey(key, "AA", "none") if key.startswith("passkey:") else Key(key)).text)
    database = sqlite3.connect(f"{ledger.absolute().as_uri()}?mode=ro", uri=True)
    try:
        origin = json.loads(database.execute("SELECT raw FROM entry WHERE seq = 0").fetchone()[0])["body"]["origin"]
        found = Approvals(origin, given)
        wanted = "type LIKE 'access.%' OR type IN ('cell.held', 'cell.approved', 'cell.denied')"
        for (raw,) in database.execute(f"SELECT raw FROM entry WHERE {wanted} ORDER BY seq"):  # noqa: S608
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
