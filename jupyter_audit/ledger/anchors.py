"""
Anchors: checkpoints carried to places that whoever holds the ledger cannot change (P5).

A sink is a file to which lines are appended, a syslog server (RFC 5424), or a witness (C2SP tlog-witness). What a sink
has not taken yet is owed to it: the ledger keeps every checkpoint, so nothing is lost while a sink is down. Reads the
ledger, never writes it.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Protocol
from urllib.parse import SplitResult, urlsplit

from jupyter_audit.clock import Clock, format_time
from jupyter_audit.errors import ConfigError, LedgerError
from jupyter_audit.home import Home
from jupyter_audit.ledger.checkpoint import Checkpoint, unverified_checkpoint
from jupyter_audit.ledger.cosignature import parse_witness_key
from jupyter_audit.ledger.note import NoteError
from jupyter_audit.ledger.reader import LedgerReader
from jupyter_audit.ledger.store import explained
from jupyter_audit.ledger.witness_sink import ContradictionError, WitnessSink

TIMEOUT_S = 5.0
REFUSED_S = 0.2
"""Seconds for the answer that nobody is there, by UDP."""

_AT_ONCE = 500
_SYSLOG_PORT = 514
_PRIORITY = 13 * 8 + 5
"""RFC 5424 section 6.2.1: facility 13, log audit; severity 5, notice."""


class Sink(Protocol):
    """Where checkpoints go."""

    def send(self, reader: LedgerReader, delivered: int) -> int:
        """
        Hand over what came after the first `delivered` entries, or a part of it; return how many are covered then.

        Returns `delivered` when nothing is owed. Raises `OSError`; then nothing counts as taken.
        """
        ...


def _owed(reader: LedgerReader, delivered: int) -> list[str]:
    """Return the checkpoints that a sink lacks which takes all of them, oldest first, some at a time."""
    with explained("read the ledger"):
        rows = reader.connection.execute(
            "SELECT note FROM entry WHERE seq >= ? AND note IS NOT NULL ORDER BY seq LIMIT ?", (delivered, _AT_ONCE)
        ).fetchall()
    return [str(note) for (note,) in rows]


@dataclass(frozen=True, slots=True)
class FileSink:
    """Appends a JSON line for each checkpoint: `origin`, `size`, `note`. Best on another machine's disk."""

    path: Path

    def send(self, reader: LedgerReader, delivered: int) -> int:
        """Append and wait until it is on disk. Raises `OSError`."""
        notes = _owed(reader, delivered)
        if not notes:
            return delivered
        lines = ""
        for note in notes:
            checkpoint = unverified_checkpoint(note)
            lines += json.dumps({"origin": checkpoint.origin, "size": checkpoint.size, "note": note}) + "\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        with os.fdopen(descriptor, "ab") as file:
            file.write(lines.encode())
            file.flush()
            os.fsync(file.fileno())
        return unverified_checkpoint(notes[-1]).size


@dataclass(frozen=True, slots=True)
class SyslogSink:
    """Sends RFC 5424 messages, by UDP (RFC 5426; most loss goes unnoticed) or TCP with octet counting (RFC 6587)."""

    protocol: str
    host: str
    port: int
    clock: Clock

    def send(self, reader: LedgerReader, delivered: int) -> int:
        """Send one message for each checkpoint. Raises `OSError`."""
        notes = _owed(reader, delivered)
        if not notes:
            return delivered
        self._send([self._message(note) for note in notes])
        return unverified_checkpoint(notes[-1]).size

    def _send(self, messages: Sequence[bytes]) -> None:
        if self.protocol == "tcp":
            with socket.create_connection((self.host, self.port), TIMEOUT_S) as connection:
                connection.sendall(b"".join(b"%d %b" % (len(message), message) for message in messages))
                # Syslog has no word for "received". A server that reads to the end of the stream closes its own side; before that
                # all may lie in buffers of this machine.
                connection.shutdown(socket.SHUT_WR)
                try:
                    while connection.recv(1024):
                        pass
                except TimeoutError as error:
                    raise TimeoutError(f"sent, but not read to its end within {TIMEOUT_S:g} seconds") from error
            return
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as datagrams:
            # Of a socket that is connected, the system tells that the other side has nobody there; where it hears of it.
            datagrams.connect(address)
            for message in messages:
                datagrams.send(message)
            datagrams.settimeout(REFUSED_S)
            with contextlib.suppress(TimeoutError):
                datagrams.recv(1)

    def _message(self, note: str) -> bytes:
        checkpoint = unverified_checkpoint(note)
        host = re.sub(r"[^!-~]", "-", socket.gethostname())[:255] or "-"
        facts = (
            f'origin="{checkpoint.origin}" size="{checkpoint.size}" '
            f'root="{base64.b64encode(checkpoint.root).decode()}" note="{base64.b64encode(note.encode()).decode()}"'
        )
        # 32473 is the enterprise number that RFC 5612 keeps for documentation: we have none of our own.
        time = format_time(self.clock.now())
        return f"<{_PRIORITY}>1 {time} {host} jupyter-audit {os.getpid()} checkpoint [checkpoint@32473 {facts}]".encode()


def parse_sink(text: str, clock: Clock, cosigned: Path) -> Sink:
    """
    Return the sink that a setting names: `file:/path`, `syslog+udp://host:514`, `syslog+tcp://host:601`, or
    `witness+https://host/prefix#VKEY` (or http), whose cosignatures are kept in the folder `cosigned`.

    Raises `ConfigError` for anything else.
    """
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise ConfigError(f"c.JupyterAudit.anchors: {text!r} is no sink: {error}.") from error
    if parts.scheme in ("witness+http", "witness+https"):
        return _parse_witness(text, parts, cosigned)
    if parts.scheme == "file" and not parts.netloc and Path(parts.path).is_absolute():
        return FileSink(Path(parts.path))
    if parts.scheme in ("syslog+udp", "syslog+tcp") and parts.hostname and not parts.path.strip("/"):
        try:
            return SyslogSink(parts.scheme.removeprefix("syslog+"), parts.hostname, parts.port or _SYSLOG_PORT, clock)
        except ValueError:
            pass  # a port that is none
    raise ConfigError(
        f"c.JupyterAudit.anchors: {text!r} is no sink.",
        advice="Such as file:/mnt/elsewhere/checkpoints.jsonl, syslog+tcp://log.example.org:601, syslog+udp://log.example.org "
        "or witness+https://witness.example.org#VKEY.",
    )


def _parse_witness(text: str, parts: SplitResult, cosigned: Path) -> WitnessSink:
    try:
        key, port = parse_witness_key(parts.fragment), parts.port
        if not parts.hostname or parts.query or parts.username is not None or not re.fullmatch(r"[!-~]*", parts.path):
            raise ValueError("it names no host, or more than host, port and path")
        parts.hostname.encode("idna")
    except ValueError as error:  # a NoteError is one
        raise ConfigError(
            f"c.JupyterAudit.anchors: {text!r} is no sink: {error}.",
            advice="Such as witness+https://witness.example.org#VKEY, with the key that `jupyter audit witness init` printed.",
        ) from error
    scheme = parts.scheme.removeprefix("witness+")
    return WitnessSink(scheme, parts.hostname, port, parts.path.rstrip("/"), key, cosigned)


@dataclass(frozen=True, slots=True)
class Standing:
    """
    How far a sink is: entries it covers, entries it lacks, since when it fails and why (both empty if it does not).

    `alarm` if it is a witness that cosigned something which this ledger does not extend.
    """

    sink: str
    delivered: int
    behind: int
    failing_since: str
    error: str
    alarm: bool


class Anchors:
    """The sinks of one audit home, and what each of them has taken. `texts` are as the setting names them."""

    def __init__(self, home: Home, texts: Sequence[str], clock: Clock) -> None:
        self._folder = home.anchors
        self._clock = clock
        self._sinks = {text: parse_sink(text, clock, home.cosigned) for text in texts}

    def __bool__(self) -> bool:
        return bool(self._sinks)

    def standing(self, reader: LedgerReader) -> list[Standing]:
        """Return how far each sink is, without sending."""
        return [self._standing(text, reader) for text in self._sinks]

    def send(self, reader: LedgerReader) -> list[Standing]:
        """Hand each sink what it is owed; a sink that fails is tried again next time. Raises `LedgerError`."""
        for text, sink in self._sinks.items():
            while True:
                standing = self._standing(text, reader)
                try:
                    covered = sink.send(reader, standing.delivered)
                except OSError as error:
                    since = standing.failing_since or format_time(self._clock.now())
                    alarm = isinstance(error, ContradictionError)
                    # An alarm stands until the witness cosigns again, whatever else goes wrong meanwhile.
                    why = standing.error if standing.alarm and not alarm else str(error)
                    self._keep(text, reader.origin, standing.delivered, since, why, alarm=alarm or standing.alarm)
                    break
                if covered == standing.delivered and not standing.failing_since:
                    break
                self._keep(text, reader.origin, covered, "", "", alarm=False)
        return self.standing(reader)

    def _standing(self, text: str, reader: LedgerReader) -> Standing:
        delivered, since, error, alarm = 0, "", "", False
        try:
            kept = json.loads(self._file(text).read_text(encoding="utf-8"))
            if kept["origin"] == reader.origin and type(kept["delivered"]) is int:
                delivered, since, error = kept["delivered"], str(kept["failing_since"]), str(kept["error"])
                alarm = kept.get("alarm") is True
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            delivered = 0
        size = reader.size()
        if not 0 <= delivered <= size:
            delivered = 0  # not known, or of a ledger that was put back: a sink is rather told twice than not at all
        return Standing(text, delivered, size - delivered, since, error, alarm)

    def _keep(self, text: str, origin: str, delivered: int, since: str, error: str, *, alarm: bool) -> None:
        value = {"sink": text, "origin": origin, "delivered": delivered, "failing_since": since, "error": error, "alarm": alarm}
        path = self._file(text)
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            temporary = path.with_suffix(f".{os.getpid()}")
            temporary.write_text(json.dumps(value) + "\n", encoding="utf-8")
            temporary.replace(path)
        except OSError as failure:
            raise LedgerError(f"What a sink has taken could not be put down in {path}: {failure.strerror}.") from failure

    def _file(self, text: str) -> Path:
        return self._folder / f"{sha256(text.encode()).hexdigest()[:16]}.json"


def newest_kept(text: str) -> str:
    """Return the checkpoint in what was kept: a signed note, or the file of a file sink, whose last whole line counts."""
    if not text.startswith("{"):
        return text
    newest: tuple[Checkpoint, str] | None = None
    for line in text.split("\n"):  # and at nothing else that Unicode has for lines: it can be within one of JSON
        try:
            note = json.loads(line)["note"]
            checkpoint = unverified_checkpoint(note)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, NoteError):
            continue  # a line that was cut off
        if newest is None or checkpoint.size >= newest[0].size:
            newest = (checkpoint, note)
    return newest[1] if newest is not None else text
