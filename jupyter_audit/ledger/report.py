"""The report of a verification: what a person files, and a program reads. Only a whole ledger has one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jupyter_audit.clock import format_time


@dataclass(frozen=True, slots=True)
class Witnessed:
    """
    What a witness said: name and key, how many entries it cosigned, and when.

    `not_yet` is how many entries came after those: of them the witness says nothing.
    """

    name: str
    key: str
    entries: int
    time: datetime
    not_yet: int

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON-ready values."""
        return {
            "name": self.name,
            "key": self.key,
            "entries": self.entries,
            "time": format_time(self.time),
            "not_yet": self.not_yet,
        }

    def text(self) -> str:
        """Return it for a person to read."""
        when = format_time(self.time)
        rest = f"the {self.not_yet} after them not yet" if self.not_yet else "all that there are"
        return f"{self.name} cosigned the first {self.entries} entries at {when}; {rest}"


@dataclass(frozen=True, slots=True)
class Before:
    """
    What a verification had found before it came upon a damage: the first `whole` of the `stored` entries are as they were signed.

    `origin` is empty if entry 0 was not believed; `first` and `last` are the times of those that are whole.
    """

    origin: str = ""
    keys: tuple[str, ...] = ()
    whole: int = 0
    stored: int = 0
    first: str = ""
    last: str = ""


@dataclass(frozen=True, slots=True)
class LedgerReport:
    """
    What was verified. There is only a report of a ledger that is whole: anything else raises.

    `root` is the newest checkpoint's root hash in hex. `since` is the size of the checkpoint that the ledger
    was compared with, or None. `witnesses` are those that were demanded. `not_checked` says what this verification
    does not show, a sentence each. Of the contents held, `contents_sealed` are sealed for auditors; of these,
    `contents_opened` were opened with a key given.
    """

    origin: str
    keys: tuple[str, ...]
    entries: int
    checkpoints: int
    first: datetime
    last: datetime
    root: str
    contents_held: int
    contents_purged: int
    clock_went_back: int
    since: int | None
    not_checked: tuple[str, ...]
    contents_sealed: int = 0
    contents_opened: int = 0
    witnesses: tuple[Witnessed, ...] = ()

    @property
    def finding(self) -> str:
        """What is shown of the entries, and how far: nobody can see in a ledger what was cut off after its newest checkpoint."""
        found = f"up to its newest checkpoint, of {self.entries} entries: none was changed, removed, inserted or reordered"
        kept = max([self.since or 0, *(witness.entries for witness in self.witnesses)])
        if self.since is None and not self.witnesses:
            return f"{found}; whether later entries were cut off was not checked."
        return f"{found}, and none is missing of the {kept} under the checkpoint kept elsewhere."

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON-ready values."""
        return {
            "origin": self.origin,
            "keys": list(self.keys),
            "entries": self.entries,
            "checkpoints": self.checkpoints,
            "first": format_time(self.first),
            "last": format_time(self.last),
            "root": self.root,
            "contents_held": self.contents_held,
            "contents_purged": self.contents_purged,
            "contents_sealed": self.contents_sealed,
            "contents_opened": self.contents_opened,
            "clock_went_back": self.clock_went_back,
            "since": self.since,
            "witnesses": [witness.to_json() for witness in self.witnesses],
            "not_checked": list(self.not_checked),
        }

    def text(self) -> str:
        """Return the report for a person to read, and to file."""
        held = f"{self.contents_held} held, each as its entry commits to it"
        lines = [
            ("Ledger", self.origin),
            *(("Key" if epoch == 0 else f"Key {epoch}", key) for epoch, key in enumerate(self.keys)),
            ("Span", f"{format_time(self.first)} to {format_time(self.last)}"),
            ("Entries", f"{self.entries}, numbered without a gap, each as it was signed"),
            ("Checkpoints", f"{self.checkpoints}, one for each commit, each signed by the key in force"),
            ("Root hash", self.root),
            ("Contents", f"{held}; {self.contents_purged} purged, each by an entry that says so"),
        ]
        if self.contents_sealed:
            opened = f"{self.contents_opened} opened with the auditor's key, each as its entry commits to it"
            lines.append(("Sealed", f"{self.contents_sealed} of those held, each the bytes that were recorded; {opened}"))
        if self.clock_went_back:
            lines.append(("Clock", f"went back {self.clock_went_back} times; the entries say where"))
        if self.since is not None:
            lines.append(("Compared", f"extends the checkpoint of {self.since} entries kept elsewhere"))
        lines += [("Witness", witness.text()) for witness in self.witnesses] or [("Witness", "none demanded")]
        lines += [("Not checked", sentence) for sentence in self.not_checked]
        lines.append(("Verdict", f"WHOLE {self.finding}"))
        return "\n".join(f"{name:<14}{value}" for name, value in lines)
