"""
Output summaries: from a cell's iopub messages to what the ledger keeps of them.

Pure: no sockets, no clock. Bounded: however much a cell prints, a summary holds counts, a digest over the
whole, and the first part of the text. The digest is keyed with a salt that is stored with the previews, so
that purging the content leaves nothing from which a short output could be guessed (P6).
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jupyter_audit.model import Content, Json
from jupyter_audit.record.bounds import bounded

MOST_OUTPUTS = 100
"""Outputs summarised one by one; further ones are counted, measured and digested together."""

_TABLE_ROW = re.compile(r"<tr[\s>]", re.IGNORECASE)
_TABLE_HEAD = re.compile(r"<thead[\s>].*?</thead>", re.IGNORECASE | re.DOTALL)


@dataclass(slots=True)
class _Output:
    """One output while it grows. A stream grows with every message; a display comes whole."""

    output: str
    mime: str
    salt: bytes
    keep: int
    size: int = 0
    newlines: int = 0
    ends_open: bool = False
    rows: int | None = None
    preview: bytearray = field(default_factory=bytearray)
    digest: Any = None

    def __post_init__(self) -> None:
        self.digest = hmac.new(self.salt, digestmod="sha256")

    def add(self, data: bytes) -> None:
        if not data:
            return
        self.digest.update(data)
        self.size += len(data)
        self.newlines += data.count(b"\n")
        self.ends_open = not data.endswith(b"\n")
        room = self.keep - len(self.preview)
        if room > 0:
            self.preview += data[:room]

    @property
    def lines(self) -> int:
        return self.newlines + (1 if self.ends_open else 0)

    def facts(self) -> dict[str, Json]:
        """What the entry's body says: sizes and kinds, nothing of the text."""
        return {
            "output": self.output,
            "mime": self.mime,
            "bytes": self.size,
            "lines": self.lines,
            "rows": self.rows,
            "cut": self.size > len(self.preview),
        }

    def detail(self) -> dict[str, Json]:
        """What the purgeable content says besides."""
        return {
            **self.facts(),
            "digest": "hmac-sha256:" + self.digest.hexdigest(),
            "preview": self.preview.decode("utf-8", "replace"),
        }


class OutputSummary:
    """
    Summarises the outputs of one cell.

    `keep` is how many bytes of each output's text are kept.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._salt = secrets.token_bytes(16)
        self._outputs: list[_Output] = []
        self._streams: dict[str, _Output] = {}
        self._more = _Output("more", "", self._salt, 0)
        self._count = 0
        self.error: str = ""

    def __bool__(self) -> bool:
        return bool(self._outputs)

    def add(self, msg_type: str, content: Mapping[str, Any]) -> None:
        """Take in one iopub message; types that are no output are ignored."""
        match msg_type:
            case "stream":
                name = "stderr" if content.get("name") == "stderr" else "stdout"
                stream = self._streams.get(name)
                if stream is None:
                    stream = self._streams[name] = self._new(f"stream:{name}", "text/plain")
                stream.add(_as_bytes(content.get("text", "")))
            case "display_data" | "update_display_data" | "execute_result":
                kind = "result" if msg_type == "execute_result" else "display"
                data = content.get("data")
                if isinstance(data, Mapping):
                    rows = _rows(data)
                    for mime in sorted(data):
                        output = self._new(kind, str(mime))
                        if output is not self._more:
                            output.rows = rows
                        output.add(_as_bytes(data[mime]))
            case "comm_open" | "comm_msg":
                # What widgets are told reaches the browser like any output does.
                comm = self._streams.get("comm")
                if comm is None:
                    comm = self._streams["comm"] = self._new("comm", "application/json")
                comm.add(_as_bytes(content.get("data", {})))
            case "error":
                self.error = bounded(str(content.get("ename", "")), 200)
                output = self._new("error", "text/plain")
                output.add(_as_bytes(f"{content.get('ename', '')}: {content.get('evalue', '')}"))

    def facts(self) -> list[dict[str, Json]]:
        """Return what the entry's body says about the outputs."""
        facts = [output.facts() for output in self._outputs]
        if self._count:
            facts.append({**self._more.facts(), "cut": True, "count": self._count})
        return facts

    def contents(self) -> dict[str, Content]:
        """Return the content `outputs`: salt, digests and previews. Empty if there was no output."""
        if not self._outputs:
            return {}
        outputs = [output.detail() for output in self._outputs]
        if self._count:
            outputs.append({**self._more.detail(), "cut": True, "count": self._count})
        text = json.dumps({"salt": self._salt.hex(), "outputs": outputs}, ensure_ascii=False)
        return {"outputs": Content(text.encode("utf-8", "replace"), "application/json")}

    def _new(self, output: str, mime: str) -> _Output:
        """Return a new output; beyond the most that are kept one by one, the one that stands for all others."""
        if len(self._outputs) >= MOST_OUTPUTS:
            self._count += 1
            return self._more
        made = _Output(output, bounded(mime, 200), self._salt, self._keep)
        self._outputs.append(made)
        return made


def _as_bytes(value: Any) -> bytes:
    """The bytes of a MIME value: text as it is, anything else as its JSON."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return text.encode("utf-8", "replace")


def _rows(data: Mapping[str, Any]) -> int | None:
    """How many rows a table shows: pandas says so in its plain text when cut, else the HTML is counted."""
    plain = data.get("text/plain")
    if isinstance(plain, str):
        said = re.search(r"\[(\d+) rows x \d+ columns\]\s*$", plain)
        if said:
            return int(said.group(1))
    html = data.get("text/html")
    if isinstance(html, str) and "<table" in html:
        return len(_TABLE_ROW.findall(_TABLE_HEAD.sub("", html)))
    return None
