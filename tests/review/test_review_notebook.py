"""The auditor's notebook, executed: on a whole ledger it tells the day, on a damaged one it stops."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from review_day import without_triggers

from jupyter_audit.errors import AuditError
from jupyter_audit.home import Home
from jupyter_audit.review.notebook import ReviewStopped, open_for_review

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "review.ipynb"


def execute(folder: Path) -> tuple[dict[str, list[Any]], CellExecutionError | None]:
    """Run the notebook in `folder`; return each code cell's outputs by the cell's id, and what stopped it."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    where = {"metadata": {"path": folder}}
    client = NotebookClient(notebook, kernel_name="python3", timeout=60, resources=where)
    stopped = None
    try:
        client.execute()
    except CellExecutionError as error:
        stopped = error
    return {cell["id"]: cell["outputs"] for cell in notebook.cells if cell.cell_type == "code"}, stopped


def html_of(outputs: list[Any]) -> str:
    return "".join(output["data"].get("text/html", "") for output in outputs if "data" in output)


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Any:
    def name(home: Home, **others: str) -> None:
        monkeypatch.setenv("JUPYTER_AUDIT_LEDGER", str(home.ledger))
        monkeypatch.setenv("JUPYTER_AUDIT_KEY", str(home.verifier_key))
        for variable, value in others.items():
            monkeypatch.setenv(f"JUPYTER_AUDIT_{variable}", value)

    return name


def test_no_outputs_are_committed() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert not [cell for cell in notebook.cells if cell.get("outputs") or cell.get("execution_count")]


def test_a_whole_ledger_is_told(day: Home, tmp_path: Path, named: Any) -> None:
    named(day, SESSION="s-alice0000001")
    outputs, stopped = execute(tmp_path)
    assert stopped is None
    assert "Verified." in html_of(outputs["verify"])
    assert "Whole up to its newest checkpoint, of " in html_of(outputs["verify"])
    assert "SHOP-1042" in html_of(outputs["sessions"])
    assert "Mass read" in html_of(outputs["findings"])
    assert "no_grant" in html_of(outputs["refusals"])
    assert any("image/png" in output.get("data", {}) for output in outputs["activity"])
    told = html_of(outputs["timeline"])
    why = "Customers are charged too much"
    for expected in (why, "print(&#x27;hello&#x27;)", "21,132 rows", "purged", "still here"):
        assert expected in told


def test_a_damaged_ledger_stops_it_and_names_the_entry(own_day: Home, tmp_path: Path, named: Any) -> None:
    with without_triggers(own_day.ledger) as connection:
        connection.execute("UPDATE entry SET raw = replace(raw, 'alice', 'alicf') WHERE seq = 12")
    named(own_day)
    outputs, stopped = execute(tmp_path)
    assert stopped is not None
    assert stopped.ename == "ReviewStopped"
    box = html_of(outputs["verify"])
    assert "first bad entry: 12" in box
    assert "Nothing of it is shown below." in box
    assert all(not outputs[cell] for cell in ("sessions", "findings", "refusals", "activity", "timeline"))
    assert "Customers" not in str(outputs)


def test_a_cut_off_ledger_stops_it_where_a_checkpoint_was_kept(
    day: Home, own_day: Home, tmp_path: Path, named: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    from jupyter_audit.clock import SystemClock
    from jupyter_audit.ledger import open_ledger
    from jupyter_audit.model import Draft

    with open_ledger(own_day, clock=SystemClock()) as ledger:
        ledger.append([Draft("server.stopped", {"server": "srv"})])
        kept = tmp_path / "kept.checkpoint"
        kept.write_text(ledger.checkpoint_note())
    with pytest.raises(ReviewStopped):
        open_for_review(day.ledger, day.verifier_key, kept)
    assert "rollback" in capsys.readouterr().out
    open_for_review(own_day.ledger, own_day.verifier_key, kept.read_text()).close()
    assert "Compared: extends the checkpoint of 49 entries" in capsys.readouterr().out


def test_a_page_is_made_of_a_whole_ledger_and_none_of_a_damaged_one(own_day: Home, tmp_path: Path) -> None:
    own_day.path.rename(tmp_path / "audit")
    page = tmp_path / "review.html"
    command = ["sh", str(NOTEBOOK.with_name("review.sh")), str(tmp_path)]
    environment = os.environ | {"PYTHON": sys.executable}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    told = page.read_text()
    assert "Verified." in told
    assert "open_for_review" not in told
    assert "<script>window.pwned" not in told
    with without_triggers(tmp_path / "audit" / "ledger.db") as connection:
        connection.execute("UPDATE entry SET raw = replace(raw, 'alice', 'alicf') WHERE seq = 12")
    stopped = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert stopped.returncode != 0
    assert "nothing of an unverified ledger is shown" in stopped.stderr
    assert not page.exists()


@pytest.mark.parametrize("which", ["nothing", "no ledger", "no checkpoint"])
def test_what_is_missing_is_said_in_the_box(
    which: str, day: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given: dict[str, tuple[str | Path, str | Path, str | Path]] = {
        "nothing": ("", "", ""),
        "no ledger": (tmp_path / "none.db", day.verifier_key, ""),
        "no checkpoint": (day.ledger, day.verifier_key, tmp_path / "none.checkpoint"),
    }
    with pytest.raises(ReviewStopped) as caught:
        open_for_review(*given[which])
    assert not isinstance(caught.value, AuditError)
    assert "STOPPED: This ledger cannot be reviewed." in capsys.readouterr().out
