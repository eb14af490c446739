"""Where `log` and `tail` read entries: a ledger's file, or a server that shows what the caller may see."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from jupyter_audit.cli.remote import RemoteServer
from jupyter_audit.errors import SealedError
from jupyter_audit.ledger import LedgerReader

PAGE = 100

Row = dict[str, Any]
"""An entry as JSON: `seq`, `time`, `type`, `actor`, `body`, and maybe `grant`, `session`, `contents`."""

Held = str | None | dict[str, list[str]]
"""A content: its text, None where it was purged, or for whom it is sealed."""


class LocalEntries:
    """The entries of a file."""

    def __init__(self, reader: LedgerReader, filters: dict[str, Any]) -> None:
        self._reader = reader
        self._filters = filters
        self.size, self.close = reader.size, reader.close

    def newest_first(self) -> Iterator[Row]:
        for entry in self._reader.entries(newest_first=True, **self._filters):
            yield json.loads(entry.raw)

    def between(self, start: int, stop: int) -> Iterator[Row]:
        for entry in self._reader.entries(start=start, stop=stop, **self._filters):
            yield json.loads(entry.raw)

    def content(self, row: Row) -> dict[str, Held]:
        return {name: self._held(row["seq"], name) for name in row.get("contents") or {}}

    def _held(self, seq: int, name: str) -> Held:
        try:
            data = self._reader.content(seq, name)
        except SealedError as error:
            return {"sealed_for": list(error.recipients)}
        return None if data is None else data.decode("utf-8", "replace")


class RemoteEntries:
    """The entries that a server shows to whoever asks; it puts the reading down itself."""

    def __init__(self, server: RemoteServer, filters: dict[str, Any]) -> None:
        self._server = server
        renamed = {"type": filters["types"], "session": filters["session"], "grant": filters["grant"]}
        self._filters = {name: value for name, value in renamed.items() if value}

    def size(self) -> int:
        return int(self._server.api("GET", "status")["entries"])

    def newest_first(self) -> Iterator[Row]:
        return self._pages(newest_first="true")

    def between(self, start: int, stop: int) -> Iterator[Row]:
        after = {"after": start - 1} if start > 0 else {}
        for row in self._pages(**after):
            if row["seq"] >= stop:
                return
            yield row

    def content(self, row: Row) -> dict[str, Held]:
        return {}

    def close(self) -> None:
        """There is nothing to close."""

    def _pages(self, **window: Any) -> Iterator[Row]:
        while True:
            query = urlencode({**self._filters, **window, "limit": PAGE}, doseq=True)
            page = self._server.api("GET", f"entries?{query}")
            yield from page["entries"]
            if page["next"] is None:
                return
            window["after"] = page["next"]
