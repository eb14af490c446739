"""A server whose contents are sealed: it records, judges and proves its canary as ever, and cannot read anything back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.servers import AuditedServer, KernelClient, audited_server

from jupyter_audit.errors import SealedError
from jupyter_audit.ledger import LedgerReader, verify_ledger
from jupyter_audit.ledger.auditors import AuditorSecret
from jupyter_audit.record.masking import CONTENT, MASKED
from jupyter_audit.review import find_session, list_findings, list_sessions, open_verified, read_timeline
from jupyter_audit.review.show import show_timeline

ANNA, BOB = AuditorSecret.generate("anna"), AuditorSecret.generate("bob")
WORD = "kitchensink4711"
"""Stands wherever a person or a kernel can put a text."""

CELL = f"""
from IPython.display import publish_display_data
import sqlite3
print("said {WORD}")
publish_display_data({{"application/x-{WORD} yes": "{WORD}"}})
sqlite3.connect(":memory:").execute("CREATE TABLE {WORD} (x)")
raise type("{WORD}Error", (Exception,), {{}})("{WORD}")
"""


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedServer]:
    folder = Path(tmp_path_factory.mktemp("sealed"))
    options = [f"--JupyterAudit.sealed_to={auditor.public}" for auditor in (ANNA, BOB)]
    with audited_server(folder, *options) as server:
        server.grant()
        client = server.kernel()
        client.wait(client.send("execute_request", request(CELL), metadata={"cellId": f"the {WORD} cell"}))
        client.run(f"import sqlite3; sqlite3.connect('shop.db').execute('DELETE FROM {WORD} WHERE x = 1')")
        server.await_entry("finding.raised")
        unknown(client)
        server.await_entry("message.refused")
        yield server


def request(code: str) -> dict[str, object]:
    return {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}


def unknown(client: KernelClient) -> None:
    client.send(f"{WORD} is no type", {"text": WORD})


def test_nothing_that_a_cell_or_a_client_said_is_on_the_servers_disk(sealed: AuditedServer) -> None:
    for file in sealed.home.path.rglob("*"):
        if file.is_file():
            assert WORD.encode() not in file.read_bytes(), file
    for entry in sealed.entries():
        assert WORD not in entry.raw


def test_the_server_cannot_read_back_what_it_recorded_and_its_canary_holds_all_the_same(sealed: AuditedServer) -> None:
    [canary] = sealed.entries("session.canary")
    assert canary.body["passed"] is True
    contents = [(entry.seq, name) for entry in sealed.entries() for name in entry.contents]
    assert contents
    for seq, name in contents:
        with pytest.raises(SealedError, match=r"sealed for anna\+[0-9a-f]{16}, bob\+"):
            sealed.reader.content(seq, name)


def test_both_auditors_read_all_of_it(sealed: AuditedServer) -> None:
    admitted = next(e for e in sealed.entries("cell.admitted") if not e.body["canary"])
    finished = sealed.finished(admitted.seq)
    for auditor in (ANNA, BOB):
        with LedgerReader.open(sealed.home.ledger, auditors=[auditor]) as reader:
            message = reader.content(admitted.seq, "message")
            outputs = reader.content(finished.seq, "outputs")
            masked = reader.content(finished.seq, CONTENT)
        assert message is not None
        assert json.loads(message)["code"] == CELL
        assert outputs is not None
        assert WORD in outputs.decode()
        assert masked is not None
        assert json.loads(masked)["error"] == f"{WORD}Error"
    assert finished.body["error"] == MASKED
    key = sealed.home.verifier_key.read_text()
    report = verify_ledger(sealed.home.ledger, verifier_keys=[key], auditors=[ANNA])
    assert report.contents_opened == report.contents_sealed == report.contents_held > 0


def test_detections_judge_code_before_it_is_sealed_and_repeat_nothing_of_it(sealed: AuditedServer) -> None:
    finding = next(e for e in sealed.entries("finding.raised") if "roduction" in str(e.body["title"]))
    assert finding.body["explanation"] == MASKED
    with LedgerReader.open(sealed.home.ledger, auditors=[ANNA]) as reader:
        masked = reader.content(finding.seq, CONTENT)
    assert masked is not None
    assert WORD in json.loads(masked)["explanation"]
    assert not [gap for gap in sealed.entries("gap.recorded") if "sealed" in str(gap.body["what"])]


def test_the_panel_and_the_api_say_that_it_is_sealed(sealed: AuditedServer) -> None:
    cells = sealed.api("GET", "cells")["cells"]
    assert cells
    assert all(cell["sealed"] and not cell["purged"] and cell["code"] == "" for cell in cells)
    detail = sealed.api("GET", f"cells/{cells[0]['seq']}")
    assert detail["full_code"] is None
    status, page = sealed.request("GET", "/audit/panel")
    assert status == 200
    assert "(sealed for auditors)" in str(page)


def test_the_policy_in_force_names_the_auditors(sealed: AuditedServer) -> None:
    [started] = sealed.entries("server.started")
    assert started.body["policy"]["sealed_to"] == [str(ANNA.public), str(BOB.public)]  # type: ignore[call-overload, index]


def test_a_review_shows_it_with_the_auditors_key_and_says_for_whom_it_is_without(sealed: AuditedServer) -> None:
    key = sealed.home.verifier_key.read_text()
    with open_verified(sealed.home.ledger, key) as closed:
        session = find_session(list_sessions(closed.entries()))
        assert session is not None
        shown = show_timeline(read_timeline(closed, session))
        assert f"(code sealed for {ANNA.public.label}, {BOB.public.label})" in shown.text
        assert WORD not in shown.text + shown.html
    with open_verified(sealed.home.ledger, key, auditors=[BOB]) as opened:
        shown = show_timeline(read_timeline(opened, session))
        assert f"said {WORD}" in shown.text
        assert f"{WORD}Error" in shown.html
        assert any(WORD in finding.explanation for finding in list_findings(opened.entries()))
