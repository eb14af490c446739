"""
The anchor that is a witness (https://c2sp.org/tlog-witness): sends the newest checkpoint and keeps the cosignature.

A witness that says that it cosigned something else than the ledger now shows is an alarm, not a failure: the ledger
was rolled back, or there are two of it. What was cosigned is kept as a signed note with both signatures. Never writes
the ledger.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from jupyter_audit.errors import VerificationError
from jupyter_audit.ledger.checkpoint import parse_checkpoint, unverified_checkpoint
from jupyter_audit.ledger.cosignature import WitnessKey, verify_cosignatures
from jupyter_audit.ledger.envelope import KEY_ROTATED
from jupyter_audit.ledger.merkle import ProofError
from jupyter_audit.ledger.note import Note, NoteError, format_note, parse_note, parse_signatures
from jupyter_audit.ledger.proof import format_key_change
from jupyter_audit.ledger.proving import prove_key_change
from jupyter_audit.ledger.reader import LedgerReader
from jupyter_audit.ledger.tlog_witness import ADD_CHECKPOINT, ADD_KEY_CHANGE, AddCheckpoint, format_request, parse_size

DEADLINE_S = 10.0
"""How long one request may take in all: what is slower counts as down."""
_MOST_ANSWER = 64 * 1024
_TRIES = 4
"""How often the size that the witness knows may turn out to be another one, while other processes send as well."""


class WitnessError(OSError):
    """The witness did not do what was asked; it is asked again later."""


class ContradictionError(WitnessError):
    """The witness cosigned something that this ledger does not extend."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class WitnessSink:
    """A witness at an address, and the key that its cosignatures must be of. Keeps them in `folder`."""

    scheme: str
    host: str
    port: int | None
    prefix: str
    key: WitnessKey
    folder: Path
    confirmed: set[str] = field(default_factory=set, compare=False)
    """What the witness cosigned last for this process: what is on disk could have been put back with the ledger."""

    def send(self, reader: LedgerReader, delivered: int) -> int:
        """
        Have the newest checkpoint cosigned; return how many entries are covered.

        The witness is asked at least once by each process, also if nothing is new. On the way every checkpoint that ends
        with a key change is cosigned, so that the witness can follow. Raises `OSError` if the witness is down or does not
        answer as it should, `ContradictionError` if it cosigned another ledger.
        """
        try:
            return self._send(reader, delivered)
        except (VerificationError, ProofError) as error:
            raise WitnessError(f"the ledger's growth cannot be proven to {self.key.name}: {error}") from error

    def _send(self, reader: LedgerReader, delivered: int) -> int:
        newest = reader.checkpoint_note()
        size = unverified_checkpoint(newest).size
        if newest in self.confirmed and cosigned_path(self.folder, self.key).exists():
            return size
        known = min(delivered, size)
        # From the entry before: the key change that ends what is delivered may not have been shown yet.
        for change in reader.entries(types=[KEY_ROTATED], start=max(known - 1, 0), stop=size - 1):
            if change.seq + 1 > known:
                known = self._cosign(reader, reader.checkpoint_at(change.seq + 1), known)
            # A witness of another make does not know this call: its operator names the new key instead.
            self._post(ADD_KEY_CHANGE, format_key_change(prove_key_change(reader, change)))
        return self._cosign(reader, newest, known)

    def _cosign(self, reader: LedgerReader, note: str, known: int) -> int:
        """
        Have one checkpoint cosigned, from the size that the witness turns out to know; return how much it covers then.

        That can be more than this checkpoint, if another process had a later one cosigned meanwhile.
        """
        size = unverified_checkpoint(note).size
        name = self.key.name
        for _ in range(_TRIES):
            if known > size:
                return known
            proof = tuple(reader.consistency_proof(known, size))
            answer = self._post(ADD_CHECKPOINT, format_request(AddCheckpoint(known, proof, note)))
            if answer.status == 200:
                self._keep(note, answer.body)
                return size
            if answer.status == 422 or (answer.status == 409 and self._size_in(answer) == known):
                told = f"{name} cosigned {known} entries that this ledger does not begin with"
                raise ContradictionError(f"{told}: it was replaced, or there are two")
            if answer.status == 403:
                self._look_for_a_contradiction(reader)
            if answer.status != 409:
                raise self._failure(answer)
            known = self._size_in(answer)
            if known > reader.size():
                told = f"{name} cosigned {known} entries, this ledger has {reader.size()}"
                raise ContradictionError(f"{told}: entries were cut off, or an old copy was put back")
        raise WitnessError(f"{name} names another size each time")

    def _look_for_a_contradiction(self, reader: LedgerReader) -> None:
        """
        Raise `ContradictionError` if the witness cosigned something that this ledger does not extend.

        A copy from before a key change is signed with a key that counts for nothing any more. Not to be taken for one whose new
        key the witness was not told of: it is what the witness cosigned last that tells them apart.
        """
        answer = self._ask("GET", f"{quote(reader.origin, safe='')}/checkpoint")
        try:
            note = parse_note(answer.body.decode("utf-8"))
            seen = parse_checkpoint(note.text)
            if answer.status != 200 or seen.origin != reader.origin or self.key not in verify_cosignatures(note, [self.key]):
                return
        except (NoteError, UnicodeDecodeError):
            return  # a witness of another make has no such address
        told = f"{self.key.name} cosigned {seen.size} entries"
        if seen.size > reader.size():
            raise ContradictionError(
                f"{told}, this ledger has {reader.size()} and is under a key that has ended: an old copy was put back"
            )
        if seen.root != reader.root(seen.size):
            raise ContradictionError(f"{told} that this ledger does not begin with: it was replaced, or there are two")

    def _size_in(self, answer: Answer) -> int:
        try:
            return parse_size(answer.body)
        except (ValueError, UnicodeDecodeError) as error:
            raise WitnessError(f"{self.key.name} answered 409 without the size that it knows") from error

    def _failure(self, answer: Answer) -> WitnessError:
        said = "".join(c if c.isprintable() else " " for c in answer.body[:200].decode("utf-8", "replace")).strip()
        what = f"{self.key.name} answered {answer.status}: {said}"
        if answer.status in (403, 404):
            what += ". Its operator must name the key that the ledger is signed with now (`jupyter audit keys` lists them)"
        return WitnessError(what)

    def _keep(self, note: str, lines: bytes) -> None:
        """Keep the checkpoint with the cosignature, once that holds; what other keys signed is left out."""
        try:
            unsigned = parse_note(note)
            signatures = parse_signatures(lines.decode("utf-8"))
            ours = tuple(line for line in signatures if (line.name, line.key_id) == (self.key.name, self.key.id))
            if self.key not in verify_cosignatures(Note(unsigned.text, ours), [self.key]):
                raise NoteError("there is no cosignature of this key in it")
        except (NoteError, UnicodeDecodeError) as error:
            raise WitnessError(f"what {self.key.name} answered is no cosignature of its key: {error}") from error
        keep_durably(cosigned_path(self.folder, self.key), format_note(Note(unsigned.text, (*unsigned.signatures, *ours))))
        self.confirmed.clear()
        self.confirmed.add(note)

    def _post(self, call: str, body: str) -> Answer:
        return self._ask("POST", call, body.encode())

    def _ask(self, method: str, call: str, body: bytes | None = None) -> Answer:
        connection = self._connection()
        with contextlib.closing(connection), _deadline(connection):
            headers = {"Content-Type": "text/plain; charset=utf-8"}
            try:
                connection.request(method, f"{self.prefix}/{call}", body, headers)
                answer = connection.getresponse()
                return Answer(answer.status, answer.read(_MOST_ANSWER))
            except http.client.HTTPException as error:
                raise WitnessError(f"{self.key.name} does not speak HTTP: {error!r}") from error

    def _connection(self) -> http.client.HTTPConnection:
        if self.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self.host, self.port, timeout=DEADLINE_S, context=context)
        return http.client.HTTPConnection(self.host, self.port, timeout=DEADLINE_S)


@contextlib.contextmanager
def _deadline(connection: http.client.HTTPConnection) -> Iterator[None]:
    """Break the connection off when its time is up: a timeout of the socket alone starts anew with each byte."""

    def break_off() -> None:
        with contextlib.suppress(OSError):
            if connection.sock is not None:
                # Of the socket below TLS: whoever reads sees its end.
                socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)

    timer = threading.Timer(DEADLINE_S, break_off)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def cosigned_path(folder: Path, key: WitnessKey) -> Path:
    """Return the file in `folder` that holds the newest checkpoint which this witness cosigned."""
    return folder / f"{key.id.hex()}.checkpoint"


def keep_durably(path: Path, text: str) -> None:
    """Put a text in a file, whole or not at all, on disk when it returns. Raises `OSError`."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
