"""
The permit format that server and kernel both speak, and the environment by which a kernel gets its terms.

A permit is the server's signed word to one kernel session: *this very message is entry N, run it*. It
travels in the message's metadata under `PERMIT_KEY`. The kernel holds only the public key, so code in
the kernel cannot write permits, and neither can a client that found the kernel's ports and HMAC key.

This module imports nothing of jupyter_audit and nothing of Jupyter: it is the contract between the two.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

PERMIT_KEY = "jupyter_audit_permit"
"""Where a message's metadata carries its permit."""

PERMIT_VERSION = 1

SESSION_VARIABLE = "JUPYTER_AUDIT_SESSION"
"""Environment variable: the audit session this kernel process belongs to."""

VERIFY_KEY_VARIABLE = "JUPYTER_AUDIT_PERMIT_VERIFY_KEY"
"""Environment variable: the session's Ed25519 permit key, public half, standard base64."""

PACKAGES_VARIABLE = "JUPYTER_AUDIT_PACKAGES"
"""Environment variable: the folder of the packages that this person installed, searched after every other."""

REPORT_TYPE = "audit_report"
"""iopub message type by which the kernel reports about itself; recorded, never passed on to browsers."""


class PermitError(Exception):
    """A permit is missing or does not cover the message it came with. `cause` is a short stable word."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Permit:
    """
    What the server signs.

    `entry` is the ledger's number of the entry that holds the message, or a negative number for what the server says of its own
    accord (what are you, stop, end); no two permits have the same. `not_after` is the end of the grant, in seconds since the
    epoch (an integer: JSON has one spelling for it).
    """

    entry: int
    session: str
    msg_id: str
    msg_type: str
    content_digest: str
    not_after: int


def content_text(content: Mapping[str, Any]) -> bytes:
    """
    Return a message's content as sorted compact JSON.

    Both sides parse the same frame with Python's json, so both arrive at the same text.
    """
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


def content_digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256, in hex, of a message's content as `content_text` writes it."""
    return hashlib.sha256(content_text(content)).hexdigest()


def _signed_bytes(permit: Permit) -> bytes:
    """The bytes under the signature; the first line keeps permits apart from anything else signed."""
    fields = [
        permit.entry,
        permit.session,
        permit.msg_id,
        permit.msg_type,
        permit.content_digest,
        permit.not_after,
    ]
    return b"jupyter-audit permit v1\n" + json.dumps(fields, separators=(",", ":")).encode()


def sign_permit(permit: Permit, key: SigningKey) -> dict[str, Any]:
    """Return the permit as it travels in a message's metadata."""
    signature = key.sign(_signed_bytes(permit)).signature
    return {
        "v": PERMIT_VERSION,
        "entry": permit.entry,
        "session": permit.session,
        "not_after": permit.not_after,
        "signature": base64.b64encode(signature).decode(),
    }


class PermitChecker:
    """
    The kernel's side: accepts each permit once, for the message it was written for, while it lasts.

    Not thread-safe; the caller holds a lock where several channels share one checker.
    """

    def __init__(self, session: str, key: VerifyKey) -> None:
        self._session = session
        self._key = key
        self._used: dict[int, int] = {}
        self._latest = 0.0
        self._prune_at = 4096

    def check(self, header: Mapping[str, Any], metadata: Mapping[str, Any], content: Mapping[str, Any],
              now: datetime) -> Permit:
        """
        Return the permit that covers this message and mark it as used.

        Raises `PermitError` with cause `missing`, `malformed`, `foreign` (another session's), `forged`
        (signature does not cover this message), `late` or `replayed`.
        """
        raw = metadata.get(PERMIT_KEY)
        if raw is None:
            raise PermitError("missing", "The message carries no permit of the audit server.")
        try:
            permit = Permit(
                entry=_whole(raw["entry"]),
                session=str(raw["session"]),
                msg_id=str(header["msg_id"]),
                msg_type=str(header["msg_type"]),
                content_digest=content_digest(content),
                not_after=_whole(raw["not_after"]),
            )
            version = raw["v"]
            signature = base64.b64decode(raw["signature"], validate=True)
        except (KeyError, TypeError, ValueError) as error:
            raise PermitError("malformed", f"The permit cannot be read: {error!r}.") from error
        if version != PERMIT_VERSION:
            raise PermitError("malformed", f"The permit has version {version!r}, not {PERMIT_VERSION}.")
        if permit.session != self._session:
            raise PermitError("foreign", "The permit was written for another session.")
        try:
            self._key.verify(_signed_bytes(permit), signature)
        except (BadSignatureError, ValueError, TypeError) as error:
            raise PermitError("forged", "The permit's signature does not cover this message.") from error
        # A clock that goes back makes no permit good again, nor a used one that is no longer remembered.
        seconds = self._latest = max(self._latest, now.astimezone(UTC).timestamp())
        if seconds >= permit.not_after:
            raise PermitError("late", "The grant behind this permit has ended.")
        if permit.entry in self._used:
            raise PermitError("replayed", f"The permit of entry {permit.entry} was used before.")
        self._used[permit.entry] = permit.not_after
        if len(self._used) > self._prune_at:
            # A permit past its end is refused as late, so it need not be remembered as used.
            self._used = {entry: end for entry, end in self._used.items() if end > seconds}
            self._prune_at = max(4096, 2 * len(self._used))
        return permit


def _whole(value: Any) -> int:
    """Return `value` if it is an int proper; a bool or float here would be somebody's trick."""
    if type(value) is not int:
        raise ValueError(f"not a whole number: {value!r}")
    return value
