"""
The two websocket protocols for kernel messages, read strictly.

Parsed once: what comes out is what is judged, put down and sent on. What does not parse is refused, so that
no difference between our reading and the kernel's can hide anything.
"""

from __future__ import annotations

import hmac
import json
import math
import struct
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from jupyter_client.jsonutil import ISO8601_PAT
from jupyter_client.session import Session as WireSession
from jupyter_server.services.kernels.connection.base import serialize_msg_to_ws_v1

from jupyter_audit.gate.clientmessage import ClientMessage

V1_PROTOCOL = "v1.kernel.websocket.jupyter.org"
CHANNELS = frozenset({"shell", "control", "stdin"})
LONGEST_ID = 200
MOST_PARTS = 10_000


class MalformedMessageError(Exception):
    """The message cannot be read; the text says what is wrong with it."""


def _finite(digits: str) -> float:
    """Return a number, which JSON (RFC 8259) has only finite ones of. Raises `ValueError` for one that is too large, or none."""
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:20]} is no number that JSON has")
    return number


_READER = json.JSONDecoder(parse_float=_finite, parse_constant=_finite)
"""Jupyter's packer would send null for NaN, and what the kernel got would not be what was permitted."""


def _read(text: str | bytes) -> Any:
    return _READER.decode(text if isinstance(text, str) else text.decode())


def parse_message(raw: str | bytes, subprotocol: str | None) -> ClientMessage:
    """
    Return the message that a client sent over its websocket.

    Raises `MalformedMessageError` for anything that is not one whole Jupyter message.
    """
    try:
        if subprotocol == V1_PROTOCOL:
            channel, parts = _split_v1(raw)
        else:
            channel, parts = _split_default(raw)
    except (ValueError, IndexError, struct.error, RecursionError) as error:
        raise MalformedMessageError(f"it cannot be parsed: {error}") from error
    header, parent_header, metadata, content, buffers = parts
    for name, part in (("header", header), ("metadata", metadata), ("content", content)):
        if not isinstance(part, dict):
            raise MalformedMessageError(f"its {name} is not a JSON object")
    if not _is_unicode(header):
        raise MalformedMessageError("its header holds half of a surrogate pair, which is no Unicode text")
    for name in ("msg_id", "msg_type"):
        value = header.get(name)
        if not isinstance(value, str) or not 0 < len(value) <= LONGEST_ID:
            raise MalformedMessageError(f"its header has no usable {name}")
    if ISO8601_PAT.match(header["msg_id"]):
        # jupyter_client reads such a text as a date, in the kernel too: neither permit nor answer would be of this message.
        raise MalformedMessageError("its msg_id is a date")
    if channel not in CHANNELS:
        raise MalformedMessageError(f"there is no channel {channel!r} for clients to send on")
    return ClientMessage(
        channel=channel,
        header=header,
        parent_header=parent_header if isinstance(parent_header, dict) else {},
        metadata=metadata,
        content=content,
        buffers=tuple(buffers),
    )


def _is_unicode(header: Mapping[str, Any]) -> bool:
    """Return whether answers can name this header: an answer that cannot be encoded would be none."""
    try:
        json.dumps(header, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        return False
    return True


def _split_v1(raw: str | bytes) -> tuple[str, tuple[Any, Any, Any, Any, list[bytes]]]:
    if isinstance(raw, str):
        raise ValueError("the v1 protocol is binary")
    channel, *frames = _parts(raw, "<Q")
    header, parent_header, metadata, content = (_read(frame) for frame in frames[:4])
    return channel.decode(), (header, parent_header, metadata, content, frames[4:])


def _split_default(raw: str | bytes) -> tuple[str, tuple[Any, Any, Any, Any, list[bytes]]]:
    text: str | bytes
    text, *buffers = _parts(raw, "!I", len(raw)) if isinstance(raw, bytes) else (raw,)
    message = _read(text)
    if not isinstance(message, dict):
        raise ValueError("it is not a JSON object")
    channel = message.get("channel") or "shell"
    if not isinstance(channel, str):
        raise ValueError("its channel is not a text")
    parts = (message.get("header"), message.get("parent_header"), message.get("metadata", {}))
    return channel, (*parts, message.get("content"), buffers)


def _parts(raw: bytes, number: str, *end: int) -> list[bytes]:
    """
    Return the parts of a frame that begins with a count and as many offsets, each a `number` as `struct` calls it.

    Each part ends where the next begins; `end` is the last one's, where the frame does not name it.
    Raises `ValueError` or `struct.error` unless the parts lie one behind the other.
    """
    size = struct.calcsize(number)
    (count,) = struct.unpack_from(number, raw)
    # The count comes from the client; believed blindly, a large one would keep the event loop busy for ever.
    if count > min(len(raw) // size, MOST_PARTS):
        raise ValueError("its offsets are more than it holds")
    offsets = (*struct.unpack_from(f"{number[0]}{count}{number[1]}", raw, size), *end)
    # So would parts that lie over each other: a frame of 10 MB could name gigabytes, and each is copied.
    if any(start > stop for start, stop in pairwise((size * (count + 1), *offsets, len(raw)))):
        raise ValueError("its parts do not lie one behind the other")
    return [raw[start:stop] for start, stop in pairwise(offsets)]


def read_outgoing(frames: list[Any], session: WireSession, subprotocol: str | None) -> dict[str, Any]:
    """
    Return what a kernel sent, from its signature on, with as much of it read as passing it on takes.

    That is the header in the v1 protocol, and everything in the default one, where the signature is checked, too. Dates stay
    the texts that they are. Raises `ValueError` for what is no message.
    """
    if subprotocol == V1_PROTOCOL:
        return {"header": json.loads(bytes(frames[1])), "parent_header": None, "content": None}
    header = session.unpack(bytes(frames[1]))
    if not str(header.get("version")).startswith("5.") or "date" not in header:
        return session.deserialize(frames)  # an older protocol, to be translated
    parts = [bytes(frame) for frame in frames[:5]]
    check_signature(parts, session)
    parent_header, metadata, content = (session.unpack(part) for part in parts[2:])
    return {
        "header": header,
        "msg_id": header["msg_id"],
        "msg_type": header["msg_type"],
        "parent_header": parent_header,
        "metadata": metadata,
        "content": content,
        "buffers": [memoryview(frame) for frame in frames[5:]],
    }


def read_parts(parts: list[bytes], wire: WireSession) -> tuple[Any, Any, Any]:
    """
    Return header, parent header and content of a message whose signature is right.

    As jupyter_client reads it, but for the dates: parsing those took longer than all the rest, on every message.
    Raises `ValueError` for a message that was not signed with the kernel's key.
    """
    check_signature(parts, wire)
    return json.loads(parts[1]), json.loads(parts[2]), json.loads(parts[4])


def check_signature(parts: list[bytes], wire: WireSession) -> None:
    """Raise `ValueError` for a message, from its signature on, that was not signed with the kernel's key."""
    if len(parts) < 5 or (wire.auth is not None and not hmac.compare_digest(wire.sign(parts[1:5]), parts[0])):
        raise ValueError("the signature does not fit")


def format_message(message: Mapping[str, Any], channel: str, subprotocol: str | None, pack: Any) -> str | bytes:
    """Return a server-made message as it goes to the client over its websocket."""
    if subprotocol == V1_PROTOCOL:
        framed: bytes = serialize_msg_to_ws_v1(message, channel, pack)  # type: ignore[no-untyped-call]
        return framed
    body = {key: message[key] for key in ("header", "parent_header", "metadata", "content")}
    whole = {**body, "msg_id": message["header"]["msg_id"], "msg_type": message["header"]["msg_type"],
             "channel": channel, "buffers": []}
    return json.dumps(whole, default=str)
