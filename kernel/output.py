"""
The streams that a cell prints to, without waiting for what was never printed.

ipykernel flushes both streams at the end of each cell and around each result, and each time waits for its other thread to say
that it is done: four times for `1`, which prints nothing. On a cell's way that costs as much as its entry in the ledger.
"""

from __future__ import annotations

from ipykernel.iostream import OutStream


class AuditOutStream(OutStream):  # type: ignore[misc]
    """An output stream that flushes only what there is."""

    _sending = False

    def flush(self) -> None:
        """Send what was written, and wait for it; return at once if nothing was, and nothing is under way."""
        # In this order: `_flush` says that it sends before it says that nothing waits.
        waits = self.echo is not None or self._flush_pending or self._subprocess_flush_pending or self._sending
        if waits:
            super().flush()

    def _flush(self) -> None:
        self._sending = True
        try:
            super()._flush()
        finally:
            self._sending = False
