"""
Is this ticket open, and whose is it? Asked of the tracker by a command or over HTTP, as a profile says (docs/policy.md).

Asked before the ledger is locked, never while: rules must be quick. Whatever is no clear yes is no yes: a tracker that
does not answer, answers too late or in words that cannot be read leaves the ticket unproven (`Standing.UNANSWERED`).
A ticket's text reaches no shell; it is one argument, or a quoted part of a URL.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tornado.httpclient import HTTPClient, HTTPError
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from jupyter_audit.access.principals import same_person
from jupyter_audit.access.profiles import Profile

LARGEST_ANSWER = 64 * 1024
"""Bytes of an answer that are read."""

MOST_KEPT = 1000
"""Answers kept at hand."""

ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""What a command gets of the server's environment: no token of ours is among it."""


class Standing(StrEnum):
    """What is known of a ticket."""

    OPEN = "open"
    CLOSED = "closed"
    ANOTHERS = "another's"
    UNANSWERED = "unanswered"


@dataclass(frozen=True, slots=True)
class Seen:
    """What the tracker said, and why where that is no yes."""

    standing: Standing
    why: str = ""


class NoAnswerError(Exception):
    """The tracker said nothing that can be used."""


class Tickets:
    """
    Asks trackers, and keeps a yes for as long as the profile says (`ticket_seconds`). Safe to call from any thread.

    A no is never kept: whoever reopens a ticket need not wait. `monotonic` returns seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._kept: dict[tuple[str, str, str], tuple[float, Seen]] = {}
        self._lock = threading.Lock()

    def ask(self, profile: Profile, ticket: str, person: str) -> Seen:
        """Return how a ticket stands for a person. Waits for the tracker, at most `ticket_timeout_seconds`; never raises."""
        key = (profile.name, ticket, person)
        with self._lock:
            until, kept = self._kept.get(key, (0.0, Seen(Standing.UNANSWERED)))
            if self._monotonic() < until:
                return kept
        try:
            seen = judge(_answer(profile, ticket, person), person)
        except NoAnswerError as error:
            seen = Seen(Standing.UNANSWERED, str(error))
        with self._lock:
            self._kept.pop(key, None)
            if seen.standing is Standing.OPEN:
                while len(self._kept) >= MOST_KEPT:
                    self._kept.pop(next(iter(self._kept)))
                self._kept[key] = (self._monotonic() + profile.ticket_seconds, seen)
        return seen


def judge(answer: Mapping[str, Any], person: str) -> Seen:
    """Return what an answer means for a person. Raises `NoAnswerError` if it is not as agreed."""
    people = answer.get("people")
    if type(answer.get("open")) is not bool:
        raise NoAnswerError("its answer does not say whether the ticket is `open`")
    if people is not None and not (isinstance(people, list) and all(isinstance(name, str) for name in people)):
        raise NoAnswerError("`people` in its answer is no list of names")
    if not answer["open"]:
        return Seen(Standing.CLOSED)
    if people is not None and not any(same_person(name, person) for name in people):
        return Seen(Standing.ANOTHERS)
    return Seen(Standing.OPEN)


def _answer(profile: Profile, ticket: str, person: str) -> Mapping[str, Any]:
    if profile.ticket_command:
        return _run(profile, ticket, person)
    return _fetch(profile, ticket, person)


# --- by a command -------------------------------------------------------------------------------


def _run(profile: Profile, ticket: str, person: str) -> Mapping[str, Any]:
    values = {"{ticket}": ticket, "{user}": person}
    if any(value.startswith("-") for value in values.values()):
        raise NoAnswerError("a ticket or a name that begins with - could be taken for an option of the command")
    words = [values.get(word, word) for word in profile.ticket_command]
    kept = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    try:
        # Not in the server's own working folder, where cells may write: git reads its configuration there, Python its modules.
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=kept, start_new_session=True,
            cwd="/",
        )  # fmt: skip
    except (OSError, ValueError) as error:
        raise NoAnswerError(f"its command could not be started ({getattr(error, 'strerror', None) or error})") from error
    # Whatever the command started, and whatever holds its output open, goes with it when the time is up.
    end = threading.Timer(profile.ticket_timeout_seconds, _kill, [process.pid])
    end.start()
    assert process.stdout is not None
    try:
        text = process.stdout.read(LARGEST_ANSWER + 1)
        if len(text) > LARGEST_ANSWER:
            _kill(process.pid)
        code = process.wait()
    finally:
        end.cancel()
        process.stdout.close()
    if code == -signal.SIGKILL:
        raise NoAnswerError(f"its command took longer than {profile.ticket_timeout_seconds} seconds, or said too much")
    if code == 1:
        return {"open": False}
    if code != 0:
        raise NoAnswerError(f"its command ended with the exit code {code}")
    return _object(text) if text.strip() else {"open": True}


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


# --- over HTTP ----------------------------------------------------------------------------------


def _fetch(profile: Profile, ticket: str, person: str) -> Mapping[str, Any]:
    if not ticket.strip("."):
        raise NoAnswerError("a ticket of dots alone would name another address")
    url = profile.ticket_url.replace("{ticket}", quote(ticket, safe="")).replace("{user}", quote(person, safe=""))
    headers = {"Accept": "application/json"}
    if profile.ticket_token_file:
        try:
            headers["Authorization"] = f"Bearer {Path(profile.ticket_token_file).read_text(encoding='ascii').strip()}"
        except (OSError, ValueError) as error:
            raise NoAnswerError("its token could not be read from ticket_token_file") from error
    client = HTTPClient(SimpleAsyncHTTPClient, max_body_size=LARGEST_ANSWER, force_instance=True)
    timeout = float(profile.ticket_timeout_seconds)
    try:
        # Redirects are not followed: the token is for the tracker that the admin named.
        response = client.fetch(
            url, headers=headers, follow_redirects=False, connect_timeout=timeout, request_timeout=timeout
        )
        return _object(response.body)
    except HTTPError as error:
        if error.code == 404:
            return {"open": False}
        raise NoAnswerError(f"it answered HTTP {error.code} {error.message or ''}".strip()) from error
    except (OSError, ValueError, UnicodeError) as error:
        raise NoAnswerError(f"it could not be reached ({error})") from error
    finally:
        client.close()


def _object(text: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NoAnswerError("its answer is no JSON") from error
    if not isinstance(found, dict):
        raise NoAnswerError("its answer is no JSON object")
    return found
