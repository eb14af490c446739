"""
The gate's guardrails, asked of a process that reads code (`detect/judge.py`): the glue between gate and detections.

Bounded: a question that takes longer than `JUDGE_SECONDS`, or that ends the process, is answered with a refusal, and the
next one has a new process. Profiles without guardrails never come here, and no process is started for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from jupyter_audit.access.guardrails import UNREADABLE
from jupyter_audit.access.policy import Policy
from jupyter_audit.access.profiles import Profile
from jupyter_audit.detect.sources import sources_of_message, to_complete
from jupyter_audit.gate import orphans
from jupyter_audit.gate.clientmessage import ClientMessage
from jupyter_audit.gate.guardrails import UNBROKEN, Judged, verdict
from jupyter_audit.gate.messages import Judging, judging_of
from jupyter_audit.gate.sessions import Session
from jupyter_audit.model import Principal

JUDGE_SECONDS = 5.0
"""How long reading one message's code may take."""

START_SECONDS = 30.0
MOST_ANSWER = 4 * 1024 * 1024

NOT_JUDGED = "it could not be judged in time"
"""What is said of code that the process did not answer about."""


class JudgeProcess:
    """The process, started when it is needed. One question at a time; `ask` blocks, and belongs to one thread."""

    def __init__(self, rules: Mapping[str, Any], log: logging.Logger, seconds: float = JUDGE_SECONDS) -> None:
        self._rules = json.dumps(rules).encode() + b"\n"
        self._log = log
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process, if there is none, and wait until it can be asked. Raises `OSError` if it cannot be."""
        if self._process is not None and self._process.poll() is None:
            return
        self.stop()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-m", "jupyter_audit.detect.judge"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ},
            cwd="/",
            start_new_session=True,  # a Ctrl-C at the server's terminal is not for it
        )
        orphans.register(self._process.pid)
        self._write(self._rules, START_SECONDS)
        self._read(START_SECONDS)

    def ask(self, question: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the answer; None if there was none in time, or the process ended."""
        try:
            self.start()
            self._write(json.dumps(question).encode() + b"\n", self._seconds)
            answer = json.loads(self._read(self._seconds))
            return answer if isinstance(answer, dict) else None
        except (OSError, ValueError) as error:
            self._log.warning("jupyter-audit: guardrails could not be asked (%s); the code was refused", error)
            self.stop()
            return None

    def stop(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        process.kill()
        process.wait()
        orphans.forget(process.pid)

    def _write(self, data: bytes, seconds: float) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        descriptor, until = self._process.stdin.fileno(), time.monotonic() + seconds
        os.set_blocking(descriptor, False)
        while data:
            if not select.select([], [descriptor], [], max(0.0, until - time.monotonic()))[1]:
                raise OSError("it takes no more")
            data = data[os.write(descriptor, data) :]

    def _read(self, seconds: float) -> bytes:
        """Return one line."""
        assert self._process is not None
        assert self._process.stdout is not None
        descriptor, until, line = self._process.stdout.fileno(), time.monotonic() + seconds, b""
        while not line.endswith(b"\n"):
            if not select.select([descriptor], [], [], max(0.0, until - time.monotonic()))[0]:
                raise OSError(f"no answer in {seconds:g} seconds")
            piece = os.read(descriptor, 65536)
            if not piece or len(line) > MOST_ANSWER:
                raise OSError("the process ended")
            line += piece
        return line


def code_of(message: ClientMessage) -> tuple[tuple[str, ...], bool]:
    """Return the pieces of code in a message, and whether anything stands where code belongs that is no text."""
    if message.msg_type != "complete_request":
        return sources_of_message(message.msg_type, message.content)
    code, cursor = message.content.get("code"), message.content.get("cursor_pos")
    if not isinstance(code, str) or not isinstance(cursor, int):
        return (), True
    return tuple(piece for piece in (code, to_complete(code, cursor)) if piece.strip()), False


class CodeJudge:
    """Answers what the gate asks (`gate.guardrails.JudgeCode`). One question after the other, in a thread of its own."""

    def __init__(self, policy: Policy, log: logging.Logger, seconds: float = JUDGE_SECONDS) -> None:
        """Compile the guardrails that profiles name. Raises `ConfigError` for one that cannot be used."""
        # Here and not at the top: pySigma takes half a second to import, and most servers have no guardrails.
        from jupyter_audit.detect.guardrails import compile_rules, rule_to_json

        rules = {name: rule_to_json(rule) for name, rule in compile_rules(policy.guardrails).items()}
        self._process = JudgeProcess(rules, log, seconds)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="jupyter-audit-guardrails")
        self._turn = asyncio.Lock()

    def warm_up(self) -> None:
        """Have the process start, so that the first cell need not wait for it."""
        self._thread.submit(self._process.start)

    async def __call__(self, profile: Profile, message: ClientMessage, session: Session, principal: Principal) -> Judged:
        """Judge the code in a message."""
        judging = judging_of(message.msg_type)
        if message.msg_type == "input_reply" and session.passwords_asked:
            return UNBROKEN
        sources, odd = code_of(message)
        if judging is Judging.WHOLE and odd:
            return verdict(profile, {}, "it holds code that is no text")
        if not sources:
            return UNBROKEN
        rules = [one.name for one in profile.guardrails if one.name != UNREADABLE]
        about = {
            "person": principal.name,
            "profile": profile.name,
            "kernel_name": session.kernel_name,
            "msg_type": message.msg_type,
            "silent": int(bool(message.content.get("silent", False))),
            "store_history": int(bool(message.content.get("store_history", True))),
        }
        # In turn: what a cell calls things must be known before the next one is read.
        async with self._turn:
            question = {"sources": sources, "rules": rules, "known": session.names, "about": about}
            answer = await asyncio.get_running_loop().run_in_executor(self._thread, self._process.ask, question)
            if answer is None:
                told = verdict(profile, {}, NOT_JUDGED)
            else:
                unread = str(answer["unread"]) if judging is Judging.WHOLE else ""
                told = verdict(profile, answer["broken"], unread)
            if answer is not None and not told.refused and message.msg_type != "complete_request":
                session.names = answer["bindings"]
        return told

    def close(self) -> None:
        """End the process."""
        self._thread.submit(self._process.stop).result()
        self._thread.shutdown()
