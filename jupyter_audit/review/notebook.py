"""
The edge towards a notebook: progress while a ledger is verified, and a full stop where it is not whole.

The only module of the review that displays anything. `open_for_review` either returns a verified reader or
stops the notebook: what stands below never runs on a ledger that was not verified (P5).
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_audit.errors import AuditError, UsageError
from jupyter_audit.ledger.auditorfile import load_auditor_secret
from jupyter_audit.review.show import show_error, show_report
from jupyter_audit.review.verified import VerifiedReader, open_verified


class ReviewStopped(Exception):  # noqa: N818 (it is no error: the box above it says what is wrong)
    """Ends the running of a notebook without a traceback; the red box was shown already."""

    def _render_traceback_(self) -> list[str]:
        """IPython's hook for what to print: one line."""
        return [f"Stopped: {self}"]


def open_for_review(
    ledger: str | Path, verifier_key: str | Path, remembered: str | Path = "", auditor_key: str | Path = ""
) -> VerifiedReader:
    """
    Verify `ledger` under `verifier_key` with a progress bar, show the report, and return a reader of it.

    `verifier_key` is the key or its file; `remembered` the text of a checkpoint kept from before, its file,
    or empty; `auditor_key` the file of the secret key that opens what is sealed for you, or empty. Anything that
    is wrong is shown as a red box, and `ReviewStopped` ends the run.
    """
    from IPython.display import display  # here, so that the review can be imported without IPython

    try:
        if not str(ledger) or not str(verifier_key):
            raise UsageError(
                "No ledger, or no verifier key, was named.",
                advice="Set LEDGER and VERIFIER_KEY in the first cell, or $JUPYTER_AUDIT_LEDGER and "
                "$JUPYTER_AUDIT_KEY before you start.",
            )
        since = _checkpoint_text(remembered)
        auditors = [load_auditor_secret(Path(auditor_key).expanduser())] if str(auditor_key) else []
        with _Progress() as progress:
            reader = open_verified(Path(ledger).expanduser(), verifier_key, progress, since=since, auditors=auditors)
        display(show_report(reader.report, reader.checkpoint_note()))
    except AuditError as error:
        display(show_error(error))
        raise ReviewStopped("nothing of an unverified ledger is shown.") from None
    return reader


def _checkpoint_text(remembered: str | Path) -> str | None:
    """A checkpoint has several lines; whatever has one line is taken for the path of its file."""
    if isinstance(remembered, str) and (not remembered.strip() or "\n" in remembered.strip()):
        return remembered if remembered.strip() else None
    path = Path(remembered).expanduser()
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise UsageError(f"The remembered checkpoint {path} cannot be read: {error}.") from error


class _Progress:
    """A widget where there are widgets, else a line of text that counts up."""

    def __init__(self) -> None:
        self._tell: Callable[[int, int], None] = _count_up
        self._end: Callable[[], Any] = lambda: None

    def __enter__(self) -> Callable[[int, int], None]:
        try:
            from IPython.display import display

            widgets: Any = importlib.import_module("ipywidgets")
        except ImportError:
            self._end = lambda: print(file=sys.stderr)  # noqa: T201 (ends the line that counted up)
            return self._tell
        bar, label = widgets.IntProgress(description="Verifying"), widgets.Label()
        box = widgets.HBox([bar, label])

        def tell(done: int, total: int) -> None:
            bar.max, bar.value = max(total, 1), done
            label.value = f"{done:,} of {total:,} entries"

        display(box)
        self._end = box.close
        return tell

    def __exit__(self, *_: object) -> None:
        self._end()


def _count_up(done: int, total: int) -> None:
    sys.stderr.write(f"\rVerifying: {done:,} of {total:,} entries")
    sys.stderr.flush()
