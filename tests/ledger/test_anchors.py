"""Checkpoints reach their sinks, all of them and in order, whatever a sink does meanwhile."""

from __future__ import annotations

import base64
import json
import re
import socket
import threading
from pathlib import Path

import pytest
from ledger_story import SetClock, Story, a_draft, check

from jupyter_audit.errors import ConfigError, VerificationError
from jupyter_audit.home import Home
from jupyter_audit.ledger import Ledger, LedgerReader, open_ledger
from jupyter_audit.ledger.anchors import Anchors, newest_kept, parse_sink


def notes(ledger: Ledger) -> list[str]:
    return [note for (note,) in ledger.connection.execute("SELECT note FROM entry WHERE note IS NOT NULL ORDER BY seq")]


def lines(path: Path) -> list[str]:
    return [json.loads(line)["note"] for line in path.read_text().splitlines()]


def test_every_checkpoint_is_appended_once_and_in_order(ledger: Ledger, home: Home, clock: SetClock, tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    anchors = Anchors(home, [f"file:{kept}"], clock)
    for number in range(4):
        ledger.append([a_draft(number), a_draft(number)])
        [standing] = anchors.send(ledger)
        assert (standing.behind, standing.failing_since) == (0, "")
    anchors.send(ledger)
    assert lines(kept) == notes(ledger)


def test_a_sink_that_is_down_gets_later_what_it_missed_and_its_lag_shows(ledger: Ledger, home: Home, clock: SetClock, tmp_path: Path) -> None:
    kept = tmp_path / "mount" / "kept.jsonl"
    other = tmp_path / "other.jsonl"
    texts = [f"file:{kept}", f"file:{other}"]
    for number in range(3):
        ledger.append([a_draft(number)])
        down, up = Anchors(home, texts, clock).send(ledger)  # also across restarts
        assert (down.delivered, down.behind) == (0, ledger.size())
        assert "No such file" in down.error
        assert up.behind == 0
    since = {Anchors(home, texts, clock).standing(ledger)[0].failing_since for _ in range(2)}
    assert len(since) == 1
    kept.parent.mkdir()
    assert [standing.failing_since for standing in Anchors(home, texts, clock).send(ledger)] == ["", ""]
    assert lines(kept) == lines(other) == notes(ledger)


def test_a_state_that_was_lost_tells_a_sink_twice_rather_than_not_at_all(ledger: Ledger, home: Home, clock: SetClock, tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    anchors = Anchors(home, [f"file:{kept}"], clock)
    anchors.send(ledger)
    for file in home.anchors.iterdir():
        file.write_text("{torn")
    anchors.send(ledger)
    assert lines(kept) == notes(ledger) * 2


def test_a_ledger_that_lost_its_end_is_found_with_the_file_of_an_anchor(home: Home, clock: SetClock, tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    with open_ledger(home, clock=clock) as ledger:
        ledger.append([a_draft(1)])
        ledger.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    early = home.ledger.read_bytes()
    with open_ledger(home, clock=clock) as ledger:
        ledger.append([a_draft(2)])
        Anchors(home, [f"file:{kept}"], clock).send(ledger)
    with kept.open("a") as file:
        file.write('{"torn')
    whole = home.ledger.read_bytes()
    home.ledger.write_bytes(early)
    with pytest.raises(VerificationError) as found:
        check(home, since=newest_kept(kept.read_text()))
    assert found.value.damage == "rollback"
    home.ledger.write_bytes(whole)
    assert check(home, since=newest_kept(kept.read_text())).since == 3


def test_of_a_file_sinks_lines_the_newest_whole_one_counts_whatever_stands_around_it(story: Story) -> None:
    with LedgerReader.open(story.home.ledger) as reader:
        older, newest, other = (reader.checkpoint_at(size) for size in (12, story.size, 14))
    made = [json.dumps({"origin": "\u2028 \x85", "note": note}, ensure_ascii=False) for note in (older, newest, other)]
    text = "\n".join(["{", *made, made[0], made[1][:-9], "[]", '{"note": 1}', ""])
    assert newest_kept(text) == newest
    assert newest_kept(older) == older


def test_syslog_by_udp_is_rfc_5424_and_carries_the_whole_note(ledger: Ledger, home: Home, clock: SetClock) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        Anchors(home, [f"syslog+udp://127.0.0.1:{server.getsockname()[1]}"], clock).send(ledger)
        message = server.recv(65536).decode()
    form = r'<109>1 \S+Z \S+ jupyter-audit \d+ checkpoint \[checkpoint@32473 origin="\S+" size="1" root="\S+" note="(\S+)"\]'
    found = re.fullmatch(form, message)
    assert found is not None
    assert base64.b64decode(found[1]).decode() == ledger.checkpoint_note()


def test_syslog_by_tcp_counts_octets_and_waits_while_nobody_listens(ledger: Ledger, home: Home, clock: SetClock) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        anchors = Anchors(home, [f"syslog+tcp://127.0.0.1:{server.getsockname()[1]}"], clock)
        ledger.append([a_draft(1)])
        [down] = anchors.send(ledger)
        assert down.behind == 2
        server.listen()
        received: list[bytes] = []

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                while data := connection.recv(65536):
                    received.append(data)

        thread = threading.Thread(target=serve)
        thread.start()
        [up] = anchors.send(ledger)
        thread.join(10)
    assert (up.behind, up.failing_since) == (0, "")
    rest = b"".join(received)
    told = []
    while rest:
        length, _, rest = rest.partition(b" ")
        told.append(rest[: int(length)])
        rest = rest[int(length) :]
    assert [re.search(rb'size="(\d)"', message)[1] for message in told] == [b"1", b"2"]  # type: ignore[index]


def test_what_a_syslog_server_did_not_read_counts_as_not_taken(
    ledger: Ledger, home: Home, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jupyter_audit.ledger.anchors.TIMEOUT_S", 0.2)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()  # the system takes the connection and the bytes, and nobody ever reads them
        [standing] = Anchors(home, [f"syslog+tcp://127.0.0.1:{server.getsockname()[1]}"], clock).send(ledger)
    assert (standing.delivered, standing.behind) == (0, 1)
    assert "not read" in standing.error


def test_syslog_by_udp_waits_while_the_system_says_that_nobody_is_there(ledger: Ledger, home: Home, clock: SetClock) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    [standing] = Anchors(home, [f"syslog+udp://127.0.0.1:{port}"], clock).send(ledger)
    assert (standing.delivered, standing.behind) == (0, 1)
    assert standing.failing_since


@pytest.mark.parametrize(
    "text", ["", "file:relative", "file://host/path", "http://x", "syslog+udp://", "syslog+tcp://h:99999", "syslog://h", "syslog+udp://h/path"]
)
def test_what_is_no_sink_is_refused_in_words(text: str, clock: SetClock, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no sink"):
        parse_sink(text, clock, tmp_path)
