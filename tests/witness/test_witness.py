"""A real witness cosigns what grows, nothing else, and never forgets what it said."""

from __future__ import annotations

import logging
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from ledger_story import EVE, SetClock, a_draft
from witness_house import RunningWitness

from jupyter_audit.cli.main import main
from jupyter_audit.home import Home
from jupyter_audit.ledger import Ledger, LedgerReader, create_ledger, open_ledger
from jupyter_audit.ledger.checkpoint import Checkpoint, format_checkpoint, unverified_checkpoint
from jupyter_audit.ledger.cosignature import format_witness_key, parse_witness_key, verify_cosignatures
from jupyter_audit.ledger.keys import Signer, load_signer
from jupyter_audit.ledger.note import Note, parse_note, parse_signatures, parse_verifier_key
from jupyter_audit.ledger.proof import format_key_change
from jupyter_audit.ledger.proving import prove_key_change
from jupyter_audit.ledger.tlog_witness import AddCheckpoint, format_request
from jupyter_audit.witness.cosigner import Cosigner, load_cosigner
from jupyter_audit.witness.folder import WitnessFolder
from jupyter_audit.witness.memory import Memory, MemoryLostError
from jupyter_audit.witness.service import Witness

LEDGERS = 24


def is_cosigned(witness: RunningWitness, note: str, lines: str) -> bool:
    text = parse_note(note).text
    return witness.key in verify_cosignatures(Note(text, parse_signatures(lines)), [witness.key])


def another(home: Home, size: int, root: bytes = bytes(32)) -> str:
    """A checkpoint that the ledger's key signs over another tree."""
    signer = load_signer(home.signing_key)
    return signer.sign(format_checkpoint(Checkpoint(signer.verifier.name, size, root)))


def test_what_grows_is_cosigned_and_the_newest_can_be_asked_for(witness: RunningWitness, ledger: Ledger) -> None:
    assert witness.newest(ledger.origin)[0] == 404
    known = 0
    for number in range(3):
        ledger.append([a_draft(number), a_draft(number)])
        note = ledger.checkpoint_note()
        status, _, lines = witness.add_from(ledger, known, note)
        known = unverified_checkpoint(note).size
        assert status == 200
        assert is_cosigned(witness, note, lines)
        status, newest = witness.newest(ledger.origin)
        assert parse_note(newest).text == parse_note(note).text
    # Once more, from the very size: the same word with a newer time.
    status, _, lines = witness.add(known, [], note)
    assert status == 200
    assert is_cosigned(witness, note, lines)


def test_each_refusal_has_the_status_of_the_specification(witness: RunningWitness, ledger: Ledger, home: Home, tmp_path: Path) -> None:
    for number in range(4):
        ledger.append([a_draft(number)])
    five, three = ledger.checkpoint_note(), ledger.checkpoint_at(3)
    assert witness.add(0, [], five)[0] == 200

    status, media_type, size = witness.add_from(ledger, 3, five)  # another size than the one known
    assert (status, media_type, size) == (409, "text/x.tlog.size", "5\n")
    status, media_type, size = witness.add(0, [], three)  # a replayed old checkpoint
    assert (status, media_type, size) == (409, "text/x.tlog.size", "5\n")
    assert witness.add(5, [], three)[0] == 400  # an old size above the checkpoint's
    assert witness.add(5, [], another(home, 5))[::2] == (409, "5\n")  # the same size with another root
    assert witness.add(5, [], another(home, 6))[0] == 422  # growth that is not shown
    assert witness.add(5, [bytes(32)], another(home, 6))[0] == 422

    stranger = Signer.generate(ledger.origin).sign(parse_note(five).text)
    assert witness.add(5, [], stranger)[0] == 403
    elsewhere = Home(tmp_path / "elsewhere")
    create_ledger(elsewhere, clock=SetClock(), actor=EVE)
    with LedgerReader.open(elsewhere.ledger) as reader:
        assert witness.add(0, [], reader.checkpoint_note())[0] == 404
    # What contradicts is kept, with the ledger's own signature under it.
    with closing(sqlite3.connect(witness.folder.memory)) as memory:
        kept = memory.execute("SELECT note FROM evidence WHERE origin = ? ORDER BY note", (ledger.origin,)).fetchall()
    assert kept == [(another(home, 5),), (another(home, 6),)]
    assert witness.log.count(f"entries of {ledger.origin}: ") == 3
    assert unverified_checkpoint(witness.newest(ledger.origin)[1]).size == 5


def test_malformed_and_oversized_requests_are_refused_without_a_traceback(witness: RunningWitness, ledger: Ledger) -> None:
    note = ledger.checkpoint_note()
    bodies = [b"", b"\xff", b"old 0", b"old 00\n\n" + note.encode(), b"old -1\n\n" + note.encode(), b"old 0\nx\n\n" + note.encode(),
              b"old 0\n" + b"A" * 43 + b"=\n" * 64 + b"\n" + note.encode(), b"old 0\n\n" + note.encode()[:-1], b"old 0\n\nx\n"]  # fmt: skip
    for body in bodies:
        status, _, text = witness.post("add-checkpoint", body)
        assert (status, "Traceback" in text) == (400, False), body
        status, _, text = witness.post("add-key-change", body)
        assert status == 400
    for path in ("/", "/add-checkpoint/x", "/..%2f..%2fetc/passwd"):
        assert witness.get(path)[0] == 404
    assert witness.get("/add-checkpoint")[0] == 405
    with socket.create_connection(("127.0.0.1", witness.port), 30) as connection:
        connection.sendall(b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: 100000000\r\n\r\n")
        assert connection.recv(65536)[:12] in (b"", b"HTTP/1.1 400", b"HTTP/1.1 413")
    assert witness.add(0, [], note)[0] == 200
    assert "Traceback" not in witness.log


def test_of_requests_at_the_same_time_only_what_grows_is_cosigned(witness: RunningWitness, ledger: Ledger) -> None:
    for number in range(40):
        ledger.append([a_draft(number)])
    path = ledger.path
    assert witness.add(0, [], ledger.checkpoint_at(1))[0] == 200
    results: list[tuple[int, int]] = []
    together = threading.Barrier(8)

    def ask(step: int) -> None:
        with LedgerReader.open(path) as reader:
            together.wait()
            for size in range(2 + step, 40, 8):
                status, _, text = witness.add_from(reader, 1, reader.checkpoint_at(size))
                while status == 409 and int(text) < size:
                    status, _, text = witness.add_from(reader, int(text), reader.checkpoint_at(size))
                results.append((status, size))

    threads = [threading.Thread(target=ask, args=(step,)) for step in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 38
    assert {status for status, _ in results} <= {200, 409}
    cosigned = [int(line.split(" cosigned ")[1].split()[0]) for line in witness.log.splitlines() if line.endswith(f"of {ledger.origin}")]
    assert cosigned == sorted(set(cosigned))  # strictly growing, in the order in which it answered
    assert unverified_checkpoint(witness.newest(ledger.origin)[1]).size == max(size for status, size in results if status == 200)


KILLED = """
import os, signal, sys
from jupyter_audit.ledger import note
from jupyter_audit.witness import service
def format_signature(line):
    os.kill(os.getpid(), signal.SIGKILL)
service.format_signature = format_signature
from jupyter_audit.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_killed_between_signing_and_answering_it_still_knows_what_it_signed(stopped: RunningWitness, ledger: Ledger, home: Home) -> None:
    ledger.append([a_draft(1)])
    stopped.start(command=[sys.executable, "-c", KILLED, "witness"])
    with pytest.raises((ConnectionError, OSError)):
        stopped.add(0, [], ledger.checkpoint_note())
    assert stopped.process is not None
    assert stopped.process.wait(30) == -signal.SIGKILL
    stopped.start()
    assert stopped.add(0, [], another(home, 2))[::2] == (409, "2\n")
    status, _, lines = stopped.add(2, [], ledger.checkpoint_note())
    assert status == 200
    assert is_cosigned(stopped, ledger.checkpoint_note(), lines)


FULL = """
import resource, signal, sys
from jupyter_audit.witness.memory import Memory
keep = Memory.keep_cosigned
def keep_cosigned(*words):
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    try:
        keep(*words)
        words[0]._connection.execute("COMMIT")
        raise AssertionError("written")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
Memory.keep_cosigned = keep_cosigned
from jupyter_audit.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_what_cannot_be_remembered_is_not_cosigned(stopped: RunningWitness, ledger: Ledger) -> None:
    stopped.start(command=[sys.executable, "-c", FULL, "witness"])
    status, _, text = stopped.add(0, [], ledger.checkpoint_note())
    assert (status, text) == (503, "the witness cannot write now\n")
    assert stopped.newest(ledger.origin)[0] == 404
    stopped.stop()
    stopped.start()
    assert stopped.add(0, [], ledger.checkpoint_note())[0] == 200


def test_a_clock_that_was_set_back_does_not_make_the_larger_checkpoint_the_older(clock: SetClock) -> None:
    cosigner = Cosigner(Signer.generate("witness.example.org/w1"), clock)

    def time_of(not_before: datetime | None) -> datetime:
        note = Note("a checkpoint\n", (cosigner.cosign("a checkpoint\n", not_before=not_before),))
        return verify_cosignatures(note, [cosigner.key])[cosigner.key].time

    before = time_of(None)
    clock.moment -= timedelta(hours=1)
    assert time_of(before) == before
    clock.moment += timedelta(hours=2)
    assert time_of(before) > before


@pytest.fixture
def a_memory(stopped: RunningWitness, ledger: Ledger, clock: SetClock) -> RunningWitness:
    """A witness that cosigned two entries and a key change, and does not run."""
    change = ledger.rotate_key(actor=EVE, reason="yearly")
    cosigner = load_cosigner(stopped.folder.secret, clock)
    with closing(Memory.open(stopped.folder.memory, stopped.key)) as memory:
        keys = [parse_verifier_key(key) for key in stopped.ledger_keys]
        served = Witness(cosigner, memory, keys, clock, logging.getLogger("test"))
        served.add_checkpoint(format_request(AddCheckpoint(0, (), ledger.checkpoint_note())).encode())
        served.add_key_change(format_key_change(prove_key_change(ledger, change)).encode())
    return stopped


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE cosigned SET note = replace(note, char(10) || '2' || char(10), char(10) || '1' || char(10))",
        "UPDATE cosigned SET origin = origin || 'x'",
        "UPDATE cosigned SET note = 'none'",
        "UPDATE key_change SET named = 'x'",
        "UPDATE key_change SET origin = 'jupyter-audit/0'",
        "DROP TABLE cosigned",
        "PRAGMA application_id = 1",
    ],
)
def test_a_memory_that_was_changed_is_not_used(a_memory: RunningWitness, sql: str) -> None:
    Memory.open(a_memory.folder.memory, a_memory.key).close()
    with closing(sqlite3.connect(a_memory.folder.memory)) as connection, connection:
        connection.execute(sql)
    with pytest.raises(MemoryLostError, match="cannot be used"):
        Memory.open(a_memory.folder.memory, a_memory.key)


def test_a_memory_of_which_bytes_are_missing_is_not_used_or_says_the_same(a_memory: RunningWitness, ledger: Ledger) -> None:
    path = a_memory.folder.memory

    def told() -> tuple[object, object]:
        with closing(Memory.open(path, a_memory.key)) as memory:
            return memory.cosigned(ledger.origin), memory.key_changes(ledger.origin)

    whole, good = path.read_bytes(), told()
    refused = 0
    for length in range(0, len(whole), 512):
        path.write_bytes(whole[:length])
        try:
            assert told() == good  # what is missing were zeros of an empty page
        except MemoryLostError:
            refused += 1
    assert refused > len(whole) // 512 // 2


def test_a_witness_that_lost_its_memory_or_key_or_privacy_does_not_start(a_memory: RunningWitness, capsys: pytest.CaptureFixture[str]) -> None:
    folder = a_memory.folder

    def failed_start() -> str:
        assert main(["witness", "--folder", str(folder.path), "--listen", "127.0.0.1:0", "--ledger-key", a_memory.ledger_keys[0]]) in (3, 4)
        return capsys.readouterr().err

    whole = folder.memory.read_bytes()
    folder.memory.unlink()
    assert "with a new key" in failed_start()
    folder.memory.write_bytes(whole)
    folder.secret.chmod(0o640)
    assert "open to other accounts" in failed_start()
    folder.path.chmod(0o755)
    assert "not private" in failed_start()
    folder.path.chmod(0o700)
    folder.secret.unlink()
    assert "no key of a witness" in failed_start()


def test_it_follows_a_ledger_to_its_next_key_and_forgets_the_old_one(stopped: RunningWitness, ledger: Ledger, home: Home) -> None:
    witness = stopped
    witness.start()
    old = load_signer(home.signing_key)
    change = ledger.rotate_key(actor=EVE, reason="yearly")
    shown = format_key_change(prove_key_change(ledger, change)).encode()
    ledger.append([a_draft(1)])
    assert witness.post("add-key-change", shown)[::2] == (409, "0\n")  # its checkpoint was not cosigned yet
    assert witness.add(0, [], ledger.checkpoint_note())[0] == 403
    assert witness.add(0, [], ledger.checkpoint_at(2))[0] == 200
    assert witness.add_from(ledger, 2, ledger.checkpoint_note())[0] == 403
    assert witness.post("add-key-change", shown)[0] == 200
    assert witness.post("add-key-change", shown)[0] == 200
    witness.stop()
    witness.start()
    assert witness.add_from(ledger, 2, ledger.checkpoint_note())[0] == 200
    # Whoever stole the key that has ended can neither grow the ledger with it nor name another key.
    forged = old.sign(parse_note(ledger.checkpoint_note()).text)
    assert witness.add(3, [], forged)[0] == 403
    assert unverified_checkpoint(witness.newest(ledger.origin)[1]).size == 3


def test_a_stolen_key_that_has_ended_cannot_name_another_one(witness: RunningWitness, ledger: Ledger, home: Home, clock: SetClock, tmp_path: Path) -> None:
    """The thief has a copy of ledger and key from before the change, and makes a change of his own there."""
    ledger.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    stolen = Home(tmp_path / "stolen")
    stolen.create()
    for name in ("ledger.db", "keys/ledger.key", "keys/ledger.vkey", "remembered.checkpoint"):
        (stolen.path / name).write_bytes((home.path / name).read_bytes())
        (stolen.path / name).chmod(0o600)
    change = ledger.rotate_key(actor=EVE, reason="yearly")
    assert witness.add(0, [], ledger.checkpoint_at(2))[0] == 200
    with open_ledger(stolen, clock=clock) as forged:
        other = forged.rotate_key(actor=EVE, reason="thief")
        assert witness.post("add-key-change", format_key_change(prove_key_change(forged, other)).encode())[0] == 409
        assert witness.post("add-key-change", format_key_change(prove_key_change(ledger, change)).encode())[0] == 200
        assert witness.post("add-key-change", format_key_change(prove_key_change(forged, other)).encode())[0] == 403


def test_two_processes_on_one_folder_say_one_thing(stopped: RunningWitness, ledger: Ledger, home: Home) -> None:
    other = RunningWitness(stopped.folder, stopped.key_text, stopped.ledger_keys)
    ledger.append([a_draft(1)])
    ledger.append([a_draft(2)])
    stopped.start()
    other.start()
    try:
        assert stopped.add(0, [], ledger.checkpoint_at(2))[0] == 200
        assert other.add(0, [], another(home, 2))[::2] == (409, "2\n")
        assert other.add_from(ledger, 2, ledger.checkpoint_note())[0] == 200
        assert stopped.add_from(ledger, 2, ledger.checkpoint_note())[::2] == (409, "3\n")
    finally:
        other.stop(kill=True)


def test_it_needs_no_jupyter_server() -> None:
    code = "import sys, jupyter_audit.cli.main, jupyter_audit.witness.http; sys.exit('jupyter_server' in sys.modules)"
    assert subprocess.run([sys.executable, "-I", "-c", code], check=False, timeout=60).returncode == 0


def test_init_makes_one_witness_and_never_another_in_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = WitnessFolder(tmp_path / "w")
    words = ["witness", "init", "--folder", str(folder.path), "--name", "witness.example.org/w1"]
    assert main(words) == 0
    key = parse_witness_key(folder.public.read_text())
    assert format_witness_key(key) in capsys.readouterr().out
    assert folder.secret.stat().st_mode & 0o777 == 0o600
    secret = folder.secret.read_bytes()
    assert main(words) == 3
    assert "already" in capsys.readouterr().err
    assert folder.secret.read_bytes() == secret


@pytest.mark.parametrize("words", [["--name", "a name"], ["--name", "a+b"], [], ["--name", ""]])
def test_init_refuses_a_name_that_cannot_stand_in_a_note(tmp_path: Path, words: list[str]) -> None:
    assert main(["witness", "init", "--folder", str(tmp_path / "w"), *words]) == 2
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize("words", [[], ["--ledger-key", "x"], ["--ledger-key", "KEY", "--listen", "8650"], ["--ledger-key", "KEY", "--listen", "h:99999"]])
def test_it_does_not_run_without_ledgers_or_an_address(tmp_path: Path, home: Home, words: list[str]) -> None:
    key = str(home.verifier_key)
    assert main(["witness", "--folder", str(tmp_path), *(key if word == "KEY" else word for word in words)]) == 2


def test_it_stops_when_it_is_told(stopped: RunningWitness) -> None:
    stopped.start()
    process = stopped.process
    assert process is not None
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
