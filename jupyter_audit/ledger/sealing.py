"""
Sealed contents: bytes that only auditors can open (docs/ledger-format.md, section 2).

    jupyter-audit/sealed@v1 LF
    <name>+<key ID> SP <base64 of the content key in a NaCl sealed box> LF      once for each auditor
    LF
    <a NaCl secretbox under the content key, of: salt ‖ 0x00 (plain) or 0x01 (zlib) ‖ packed data>

Salt and data are inside, so whoever cannot open it cannot try likely contents against the entry's digest either.
The content key is made for one content and forgotten: whoever sealed it cannot open it again. Pure but for randomness.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence

from nacl.exceptions import CryptoError
from nacl.public import PublicKey, SealedBox
from nacl.secret import SecretBox
from nacl.utils import random

from jupyter_audit.errors import ConfigError
from jupyter_audit.ledger.auditors import KEY_SIZE, MOST_AUDITORS, AuditorKey, AuditorSecret

MAGIC = b"jupyter-audit/sealed@v1\n"
_BOX_SIZE = 80  # of a 32-byte key: an ephemeral public key, a tag, the key
_LINE = re.compile(rb"([!-*,-~]{1,64}\+[0-9a-f]{16}) ([A-Za-z0-9+/]{107}=)")
_LONGEST_HEADER = len(MAGIC) + MOST_AUDITORS * 200


class SealError(ValueError):
    """Sealed bytes are malformed, or do not open with the key of an auditor whom they name."""


def seal(inner: bytes, auditors: Sequence[AuditorKey]) -> bytes:
    """Return `inner` sealed so that each of the auditors can open it, and nobody else."""
    key = random(SecretBox.KEY_SIZE)
    lines = b"".join(
        f"{auditor.label} {base64.b64encode(SealedBox(PublicKey(auditor.key)).encrypt(key)).decode()}\n".encode()
        for auditor in auditors
    )
    return MAGIC + lines + b"\n" + SecretBox(key).encrypt(inner)


def recipients(sealed: bytes) -> tuple[str, ...]:
    """Return for whom it is sealed, each as `name+id`; raises `SealError` if it has not the form."""
    return tuple(_parse(sealed)[0])


def unseal(sealed: bytes, secret: AuditorSecret) -> bytes | None:
    """Return what was sealed, or None if it is sealed for others; raises `SealError` where it must open and does not."""
    boxes, body = _parse(sealed)
    box = boxes.get(secret.public.label)
    if box is None:
        return None
    try:
        key = SealedBox(secret.private).decrypt(box)
        return SecretBox(key).decrypt(body)
    except (CryptoError, ValueError):
        raise SealError(f"it does not open with the key of {secret.public.label}, whom it names") from None


def _parse(sealed: bytes) -> tuple[dict[str, bytes], bytes]:
    end = sealed.find(b"\n\n", 0, _LONGEST_HEADER)
    if not sealed.startswith(MAGIC) or end < len(MAGIC):
        raise SealError("it does not begin as sealed content does")
    boxes: dict[str, bytes] = {}
    lines = sealed[len(MAGIC) : end].split(b"\n")
    for line in lines:
        found = _LINE.fullmatch(line)
        box = base64.b64decode(found[2]) if found else b""
        if found is None or len(box) != _BOX_SIZE or base64.b64encode(box) != found[2]:
            raise SealError("a line that names an auditor is malformed")
        boxes[found[1].decode()] = box
    body = sealed[end + 2 :]
    if len(boxes) != len(lines) or len(lines) > MOST_AUDITORS:
        raise SealError("it names an auditor twice, or too many")
    if len(body) < SecretBox.NONCE_SIZE + SecretBox.MACBYTES:
        raise SealError("its box is cut")
    return boxes, body


def prove_sealing(auditors: Sequence[AuditorKey]) -> None:
    """Seal a random text to these auditors and one more, and open it again; raises `ConfigError` if that fails."""
    witness = AuditorSecret.generate("self-test")
    text = random(KEY_SIZE)
    try:
        opened = unseal(seal(text, [*auditors[: MOST_AUDITORS - 1], witness.public]), witness)
    except SealError:
        opened = None
    if opened != text:
        raise ConfigError(
            "Contents cannot be sealed here: what was sealed does not open again.",
            advice="Install PyNaCl anew (`pip install --force-reinstall pynacl`).",
        )
