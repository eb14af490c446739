"""A real witness: a process of its own, in a folder of its own, that can be killed and started again."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from support.servers import clean_environment, free_port

from jupyter_audit.ledger import LedgerReader
from jupyter_audit.ledger.checkpoint import unverified_checkpoint
from jupyter_audit.ledger.cosignature import WitnessKey, parse_witness_key
from jupyter_audit.ledger.tlog_witness import AddCheckpoint, format_request
from jupyter_audit.witness.folder import WitnessFolder

COMMAND = [sys.executable, "-m", "jupyter_audit.cli.main", "witness"]


@dataclass
class RunningWitness:
    """A witness in `folder`; `port` stays the same when it starts again."""

    folder: WitnessFolder
    key_text: str
    ledger_keys: list[str]
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[str] | None = None

    @property
    def key(self) -> WitnessKey:
        return parse_witness_key(self.key_text)

    @property
    def setting(self) -> str:
        return f"witness+http://127.0.0.1:{self.port}#{self.key_text}"

    @property
    def log(self) -> str:
        return (self.folder.path.parent / "witness.log").read_text()

    def start(self, *more: str, command: Sequence[str] = COMMAND) -> None:
        keys = [word for key in self.ledger_keys for word in ("--ledger-key", key)]
        with (self.folder.path.parent / "witness.log").open("a") as log:
            self.process = subprocess.Popen(
                [*command, "--folder", str(self.folder.path), "--listen", f"127.0.0.1:{self.port}", "--json", *keys, *more],
                env=clean_environment(self.folder.path.parent),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log
        assert json.loads(line)["verifier_key"] == self.key_text

    def stop(self, *, kill: bool = False) -> None:
        """End it, by SIGTERM or by SIGKILL."""
        if self.process is None:
            return
        (self.process.kill if kill else self.process.terminate)()
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None

    def post(self, call: str, body: bytes) -> tuple[int, str, str]:
        """Return status, media type and text of an answer."""
        return self._request("POST", f"/{call}", body)

    def get(self, path: str) -> tuple[int, str, str]:
        return self._request("GET", path)

    def newest(self, origin: str) -> tuple[int, str]:
        """Return what it says that it cosigned last of a ledger."""
        status, _, text = self.get(f"/{quote(origin, safe='')}/checkpoint")
        return status, text

    def add(self, old: int, proof: Sequence[bytes], note: str) -> tuple[int, str, str]:
        return self.post("add-checkpoint", format_request(AddCheckpoint(old, tuple(proof), note)).encode())

    def add_from(self, reader: LedgerReader, old: int, note: str) -> tuple[int, str, str]:
        """Ask it to cosign a checkpoint of a ledger, with the right proof."""
        return self.add(old, reader.consistency_proof(old, unverified_checkpoint(note).size), note)

    def _request(self, method: str, path: str, body: bytes | None = None) -> tuple[int, str, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            assert answer.getheader("Server") is None
            return answer.status, str(answer.getheader("Content-Type")), answer.read().decode()
        finally:
            connection.close()


def make_witness(folder: Path, ledger_keys: list[str], name: str = "witness.example.org/w1") -> RunningWitness:
    """Make a witness that does not run yet."""
    made = WitnessFolder(folder / "witness")
    return RunningWitness(made, made.create(name), ledger_keys)
