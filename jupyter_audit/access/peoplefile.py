"""
The people file in the audit home: read only as the ledger says it is, and changed together with an entry (P4, P9).

Each change is an entry that holds the digest of the new file and is durable before the file is put in place. A file
that is not what the newest such entry says (edited by hand, put back from a backup to bring somebody back) counts for
nobody, until an admin accepts it, which is an entry too.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from jupyter_audit.access.leavers import Known
from jupyter_audit.access.people import People, parse_people
from jupyter_audit.errors import ConfigError, KeyFileError
from jupyter_audit.home import Home
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.ledger.secretfile import read_secret
from jupyter_audit.record import kinds

VOUCHED_BY = "PeopleIdentityProvider"
"""The class in `server.login`, which entries name."""

LARGEST = 4 * 1024 * 1024
ACCEPT = "`jupyter audit people list` shows it; `jupyter audit people accept` takes the file as it is, and puts that down."


def digest_of(data: bytes) -> str:
    """Return the digest that stands for a file's content in the ledger."""
    return hashlib.sha256(data).hexdigest()


def read_bytes(path: Path) -> bytes:
    """Return the content of a people file. Raises `KeyFileError` if it is missing, not ours, or readable by others."""
    return read_secret(
        path,
        "people file",
        missing="`jupyter audit people add NAME` makes it.",
        exposed="Whoever read it can try passwords against it.",
        most=LARGEST,
    )


def digest_in_force(reader: LedgerReader) -> str | None:
    """Return the digest that the newest entry about people says, or None before the first."""
    newest = next(reader.entries(types=sorted(kinds.PEOPLE), newest_first=True, limit=1), None)
    return None if newest is None else str(newest.body["digest"])


def load_people(home: Home, reader: LedgerReader) -> People:
    """
    Return the people in force. Raises `ConfigError` if the file is not as the ledger says, `KeyFileError` if others
    could have read it.
    """
    return parse_people(_in_force(home, digest_in_force(reader))[1])


def _in_force(home: Home, digest: str | None) -> tuple[Path, bytes]:
    """Return the file that has the digest, and its content: the next one, where a crash kept it from being put in place."""
    if digest is None:
        if os.path.lexists(home.people):
            raise ConfigError(f"{home.people} was not made by `jupyter audit people`, so it counts for nobody.", advice=ACCEPT)
        return home.people, People().dump()
    for path in (home.people, home.next_people):
        if path == home.people or os.path.lexists(path):
            data = read_bytes(path)
            if digest_of(data) == digest:
                return path, data
    raise ConfigError(f"{home.people} is not what the ledger says it is, so it counts for nobody.", advice=ACCEPT)


@contextmanager
def changing(home: Home) -> Iterator[None]:
    """Keep other commands from changing the people meanwhile."""
    descriptor = os.open(home.path / "people.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def change_people(
    home: Home,
    reader: LedgerReader,
    change: Callable[[People, Callable[[People], str]], Sequence[kinds.Kind]],
    put_down: Callable[[Sequence[kinds.Kind]], object],
) -> None:
    """
    Change the people: the new file is written beside the old, the entries are put down, and it takes the old one's place.

    `change` gets the people and a function that writes the new ones and returns their digest; it returns what is to be
    put down. Raises as `load_people` does, and whatever `change` and `put_down` raise; then nothing has changed.
    """
    with changing(home):
        digest = digest_in_force(reader)
        path, data = _in_force(home, digest)
        if path == home.next_people:
            path.replace(home.people)

        def write(people: People) -> str:
            _write_new(home.next_people, people.dump())
            return digest_of(people.dump())

        try:
            put_down(change(parse_people(data), write))
        except BaseException:
            # Whether the entry is there decides; a file that it does not name is never read.
            if home.next_people.exists() and digest_in_force(reader) == digest:
                home.next_people.unlink()
            raise
        home.next_people.replace(home.people)
        _sync_folder(home.path)


def accept_people(
    home: Home, reader: LedgerReader, put_down: Callable[[Sequence[kinds.Kind]], object]
) -> People:
    """Take the file as it is, and put that down. Raises `ConfigError` if it is in force already, or is no such file."""
    with changing(home):
        data = read_bytes(home.people)
        people, digest = parse_people(data), digest_of(data)
        if digest == digest_in_force(reader):
            raise ConfigError("The people file is what the ledger says; there is nothing to accept.")
        put_down([kinds.PeopleAccepted(people=sorted(people.by_name), digest=digest)])
    return people


def people_known(people: People, removed: Sequence[str] = ()) -> Known:
    """Return who is in the people file, by the name of the provider that vouches for them, and who was `removed` from it."""
    return Known(VOUCHED_BY, {person.name: person.groups for person in people.by_name.values()}, removed)


class PeopleWatch:
    """The people in force, read again whenever the file changes: for a running server."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._seen: object = None
        self._people = People()

    def current(self, reader: LedgerReader) -> People:
        """Return the people in force. Raises as `load_people` does: then nobody may be let in."""
        seen = self._look()
        if seen is None or seen != self._seen:
            self._seen, self._people = None, load_people(self._home, reader)
            self._seen = seen
        return self._people

    def _look(self) -> object:
        """Return what differs once the file has changed, or None while a change is under way."""
        if self._home.next_people.exists():
            return None
        try:
            status = self._home.people.lstat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_mode, status.st_uid


def _write_new(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise KeyFileError(f"{path} cannot be written: {error.strerror}. Nothing was changed.") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
