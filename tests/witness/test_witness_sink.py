"""The anchor that is a witness: what it keeps, how it catches up, and what it raises an alarm about."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ledger_story import EVE, SetClock, a_draft, check
from test_witness import another
from witness_house import RunningWitness, make_witness

from jupyter_audit.errors import ConfigError, VerificationError
from jupyter_audit.home import Home
from jupyter_audit.ledger import Ledger, open_ledger, witness_sink
from jupyter_audit.ledger.anchors import Anchors, Standing, parse_sink
from jupyter_audit.ledger.checkpoint import unverified_checkpoint
from jupyter_audit.ledger.cosignature import WitnessKey, format_witness_key
from jupyter_audit.ledger.keys import Signer
from jupyter_audit.ledger.note import format_verifier_key, parse_note, parse_verifier_key
from jupyter_audit.ledger.witness_sink import cosigned_path

LEDGERS = 24


def send(home: Home, witness: RunningWitness, clock: SetClock) -> Standing:
    """Send as a new process would."""
    with open_ledger(home, clock=clock) as ledger:
        [standing] = Anchors(home, [witness.setting], clock).send(ledger)
    return standing


def cosigned(home: Home, witness: RunningWitness) -> str:
    return cosigned_path(home.cosigned, witness.key).read_text()


def test_what_was_cosigned_is_kept_as_a_signed_note_and_verify_demands_it(witness: RunningWitness, ledger: Ledger, home: Home, clock: SetClock) -> None:
    with pytest.raises(VerificationError) as missing:
        check(home, witness=witness.key_text)
    assert missing.value.damage == "witness"
    ledger.append([a_draft(1), a_draft(2)])
    assert (send(home, witness, clock).behind, send(home, witness, clock).delivered) == (0, 3)
    note = parse_note(cosigned(home, witness))
    assert note.verify([parse_verifier_key(home.verifier_key.read_text())])
    assert [line.name for line in note.signatures] == [ledger.origin, witness.key.name]
    ledger.append([a_draft(3)])
    report = check(home, witness=witness.key_text, cosigned=cosigned(home, witness))
    [said] = report.witnesses
    assert (said.entries, said.not_yet) == (3, 1)
    assert "cosigned the first 3 entries at 20" in report.text()
    assert "the 1 after them not yet" in report.text()
    assert report.to_json()["witnesses"][0]["key"] == witness.key_text


def test_a_witness_that_is_down_gets_later_what_it_missed(stopped: RunningWitness, ledger: Ledger, home: Home, clock: SetClock) -> None:
    stopped.start()
    assert send(home, stopped, clock).behind == 0
    stopped.stop(kill=True)
    for number in range(3):
        ledger.append([a_draft(number)])
        down = send(home, stopped, clock)
    assert (down.delivered, down.behind, down.alarm) == (1, 3, False)
    assert "refused" in down.error
    stopped.start()
    assert (send(home, stopped, clock).delivered, send(home, stopped, clock).failing_since) == (4, "")


def test_each_process_asks_once_and_then_only_when_there_is_something_new(witness: RunningWitness, ledger: Ledger, home: Home, clock: SetClock) -> None:
    anchors = Anchors(home, [witness.setting], clock)

    def asked() -> int:
        return witness.log.count(f"entries of {ledger.origin}")

    for expected in (1, 1):
        anchors.send(ledger)
        assert asked() == expected
    ledger.append([a_draft(1)])
    anchors.send(ledger)
    assert asked() == 2
    cosigned_path(home.cosigned, witness.key).write_text("forged\n")
    send(home, witness, clock)
    assert asked() == 3
    assert check(home, witness=witness.key_text, cosigned=cosigned(home, witness)).witnesses[0].entries == 2


def test_what_was_forgotten_here_is_asked_of_the_witness(witness: RunningWitness, ledger: Ledger, home: Home, clock: SetClock) -> None:
    for number in range(5):
        ledger.append([a_draft(number)])
    assert send(home, witness, clock).delivered == 6
    shutil.rmtree(home.anchors)
    ledger.append([a_draft(6)])
    assert send(home, witness, clock).delivered == 7
    shutil.rmtree(home.anchors)
    shutil.rmtree(home.cosigned)
    assert send(home, witness, clock).delivered == 7
    assert unverified_checkpoint(cosigned(home, witness)).size == 7


def test_a_witness_that_has_the_first_key_alone_follows_every_change(witness: RunningWitness, ledger: Ledger, home: Home, clock: SetClock) -> None:
    for number in range(3):
        ledger.append([a_draft(number)])
        ledger.rotate_key(actor=EVE, reason="by timer")
    assert send(home, witness, clock).behind == 0  # the last change ends the ledger: the new key has signed nothing yet
    ledger.append([a_draft(4)])
    assert send(home, witness, clock).behind == 0
    assert check(home, witness=witness.key_text, cosigned=cosigned(home, witness)).witnesses[0].not_yet == 0


def rolled_back(home: Home, clock: SetClock, tmp_path: Path) -> Home:
    """A copy of the whole audit home, from before what comes now."""
    with open_ledger(home, clock=clock) as ledger:
        ledger.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copytree(home.path, tmp_path / "early")
    return Home(tmp_path / "early")


def test_a_ledger_that_was_rolled_back_is_an_alarm_until_it_is_put_right(witness: RunningWitness, home: Home, clock: SetClock, tmp_path: Path) -> None:
    early = rolled_back(home, clock, tmp_path)
    with open_ledger(home, clock=clock) as ledger:
        ledger.append([a_draft(1)])
        ledger.append([a_draft(2)])
    assert send(home, witness, clock).delivered == 3
    alarm = send(early, witness, clock)
    assert alarm.alarm
    assert "cosigned 3 entries, this ledger has 1" in alarm.error
    # It grows on, apart from what was cosigned: the same size, then more.
    for size in (2, 3, 4):
        with open_ledger(early, clock=clock) as ledger:
            ledger.append([a_draft(size + 10)])
        alarm = send(early, witness, clock)
        assert alarm.alarm
        assert ("this ledger has 2" if size == 2 else "does not begin with") in alarm.error
    with pytest.raises(VerificationError) as found:
        check(early, witness=witness.key_text, cosigned=witness.newest(unverified_checkpoint(cosigned(home, witness)).origin)[1])
    assert found.value.damage == "fork"
    assert not send(home, witness, clock).alarm
    assert send(home, witness, clock).behind == 0


def test_an_alarm_stands_while_the_witness_is_down(stopped: RunningWitness, ledger: Ledger, home: Home, clock: SetClock) -> None:
    stopped.start()
    assert stopped.add(0, [], another(home, 9))[0] == 200
    assert send(home, stopped, clock).alarm
    stopped.stop()
    down = send(home, stopped, clock)
    assert (down.alarm, "this ledger has 1" in down.error) == (True, True)


def test_an_old_cosigned_checkpoint_put_in_place_of_the_new_shows_by_what_the_witness_says(
    witness: RunningWitness, ledger: Ledger, home: Home, clock: SetClock, tmp_path: Path
) -> None:
    assert send(home, witness, clock).delivered == 1
    early = rolled_back(home, clock, tmp_path)
    ledger.append([a_draft(1)])
    assert send(home, witness, clock).delivered == 2
    assert check(early, witness=witness.key_text, cosigned=cosigned(early, witness)).entries == 1  # all of it was put back
    assert send(early, witness, clock).alarm  # nothing is owed by what is kept there, and yet the witness is asked
    with pytest.raises(VerificationError) as found:
        check(early, witness=witness.key_text, cosigned=witness.newest(ledger.origin)[1])
    assert found.value.damage == "rollback"


@pytest.mark.parametrize("grown", [0, 5])
def test_a_copy_from_before_a_key_change_is_an_alarm_and_not_a_key_to_be_told(
    witness: RunningWitness, ledger: Ledger, home: Home, clock: SetClock, tmp_path: Path, grown: int
) -> None:
    """All of the home is put back, the old key too: it counts for nothing any more, and the operator must not make it count."""
    assert send(home, witness, clock).delivered == 1
    early = rolled_back(home, clock, tmp_path)
    ledger.rotate_key(actor=EVE, reason="yearly")
    ledger.append([a_draft(1)])
    assert send(home, witness, clock).delivered == 3
    with open_ledger(early, clock=clock) as old:
        for number in range(grown):
            old.append([a_draft(number)])

    alarm = send(early, witness, clock)

    assert alarm.alarm
    assert ("cosigned 3 entries that this ledger does not begin with" if grown else "under a key that has ended") in alarm.error
    assert "operator" not in alarm.error


def test_a_key_that_the_witness_was_not_told_of_is_no_contradiction(
    witness: RunningWitness, ledger: Ledger, home: Home, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a witness of another make, which does not know the call that names the next key."""
    assert send(home, witness, clock).delivered == 1
    ledger.rotate_key(actor=EVE, reason="yearly")
    ledger.append([a_draft(1)])
    monkeypatch.setattr(witness_sink, "ADD_KEY_CHANGE", "nothing-of-that-name")

    failing = send(home, witness, clock)

    assert (failing.alarm, failing.delivered) == (False, 1)
    assert "Its operator must name the key" in failing.error


def test_another_witness_at_the_address_is_not_taken_for_the_one_that_is_named(witness: RunningWitness, home: Home, clock: SetClock, tmp_path: Path) -> None:
    other = make_witness(tmp_path, witness.ledger_keys)
    other.port = witness.port
    failing = send(home, other, clock)
    assert (failing.delivered, failing.alarm) == (0, False)
    assert "no cosignature of its key" in failing.error
    assert not cosigned_path(home.cosigned, other.key).exists()


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Something else at a port: it does with each connection what `answer` says."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    try:
                        connection.recv(65536)
                        answer(connection)
                    except OSError:
                        pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def say(text: str) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(text.encode())


OTHERS = {
    "no http": "hello\n",
    "silence": "",
    "redirect": "HTTP/1.1 307 Elsewhere\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    "error": "HTTP/1.1 500 Oh\r\nContent-Length: 9\r\n\r\n\x1b[31mred\x07",
    "no size": "HTTP/1.1 409 Conflict\r\nContent-Length: 3\r\n\r\n-1\n",
    "always another size": "HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\n1\n",
    "no line": "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes",
    "less than it says": "HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\nyes",
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_witness_is_a_failure_and_not_a_cosignature(stopped: RunningWitness, home: Home, clock: SetClock, name: str) -> None:
    with answering(say(OTHERS[name])) as port:
        stopped.port = port
        failing = send(home, stopped, clock)
    assert (failing.delivered, failing.failing_since != "") == (0, True)
    assert failing.error.isprintable()
    assert failing.alarm == (name == "always another size")  # that is what a witness says which has another ledger
    assert not home.cosigned.exists()


def test_an_answer_that_never_ends_is_broken_off(stopped: RunningWitness, home: Home, clock: SetClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(witness_sink, "DEADLINE_S", 0.5)
    ended = threading.Event()

    def trickle(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
        while not ended.wait(0.05):
            connection.sendall(b"x")

    with answering(trickle) as port:
        stopped.port = port
        failing = send(home, stopped, clock)
        ended.set()
    assert failing.failing_since


@pytest.mark.parametrize(
    "text",
    ["witness+http://h", "witness+http://#KEY", "witness+https://h#x", "witness+http://h:99999#KEY", "witness+ftp://h#KEY",
     "witness+http://h?x#KEY", "witness+http://me:secret@h#KEY", "witness+http://[::1#KEY", "witness+http://h#LEDGER",
     "witness+http://a..b#KEY", "witness+http://h/a b#KEY", "witness+http://h/ü#KEY"],
)  # fmt: skip
def test_what_is_no_witness_s_address_and_key_is_refused_in_words(clock: SetClock, tmp_path: Path, text: str) -> None:
    signer = Signer.generate("witness.example.org/w1")
    key = format_witness_key(WitnessKey(signer.verifier.name, signer.verifier.public))
    filled = text.replace("KEY", key).replace("LEDGER", format_verifier_key(signer.verifier))
    with pytest.raises(ConfigError, match="is no sink"):
        parse_sink(filled, clock, tmp_path)
