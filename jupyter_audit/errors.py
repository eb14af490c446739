"""
The error tree. Each error says what happened, to what, and (`advice`) what to do next.

    AuditError
    ├── UsageError                a value that a person gave cannot be used
    ├── ConfigError               a setting is missing, wrong or unsafe
    ├── HomeError                 the audit home is missing, or others could write it
    ├── LedgerError               the ledger cannot be opened, read or written
    │   ├── LedgerMissingError
    │   ├── KeyFileError
    │   ├── SealedError           a content is sealed for auditors, and none of their keys is at hand
    │   ├── RollbackError         the ledger is shorter than, or not an extension of, what was remembered
    │   └── VerificationError     what is stored is not what was signed (names the first bad entry)
    ├── RecordError               an entry could not be made durable: whatever it was for must not happen
    ├── AccessError               a rule of access says no
    │   ├── NotPermittedError
    │   │   └── ClonedPasskeyError  a passkey's counter did not go on: there may be a copy of it
    │   ├── NotFoundError
    │   └── TooManyError          asked too often; says after how many seconds to ask again
    ├── GateError                 a kernel, a session or a server may not start
    │   └── NotStartedError       it may, and could not: its program is missing, or its sandbox cannot be entered
    └── ServerUnreachableError    a running server was needed and did not answer

The CLI, REST and the notebook show the same sentence: `str(error)`, then `error.advice`.
"""

from __future__ import annotations

from typing import Any


class AuditError(Exception):
    """Base of every error that the product raises on purpose."""

    code = "error"
    exit_code = 1
    http_status = 500

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice

    def explain(self) -> str:
        """Return the message and, where there is one, the next step, for a person to read."""
        return f"{self}\n{self.advice}" if self.advice else str(self)


class UsageError(AuditError):
    """A value that a person gave cannot be used."""

    code = "bad_request"
    exit_code = 2
    http_status = 400


class ConfigError(AuditError):
    """
    A setting is missing, wrong or unsafe; the message names it.

    `setting` is the way to it in the configuration, such as ("profiles", "debug", "hours"), so that its line can be found.
    """

    code = "config"
    exit_code = 3

    def __init__(self, message: str, *, advice: str = "", setting: tuple[str, ...] = ()) -> None:
        super().__init__(message, advice=advice)
        self.setting = setting


class HomeError(AuditError):
    """The audit home is missing, or somebody else could change what is in it."""

    code = "home"
    exit_code = 3


class LedgerError(AuditError):
    """The ledger cannot be opened, read or written."""

    code = "ledger"
    exit_code = 4
    http_status = 503


class LedgerMissingError(LedgerError):
    """There is no ledger where one was expected. Starting never creates one."""

    code = "ledger_missing"


class KeyFileError(LedgerError):
    """The signing key is missing, malformed, readable by others, or of another ledger."""

    code = "key_file"


class SealedError(LedgerError):
    """A content is sealed for auditors (`recipients`, each as `name+key id`), and none of their keys is at hand."""

    code = "sealed"
    http_status = 409

    def __init__(self, message: str, *, recipients: tuple[str, ...]) -> None:
        super().__init__(message, advice="An auditor reads it with their own key: --auditor-key FILE, on their machine.")
        self.recipients = recipients


class RollbackError(LedgerError):
    """The ledger is not an extension of a checkpoint that was remembered outside it."""

    code = "rollback"
    exit_code = 5


class VerificationError(LedgerError):
    """
    What is stored is not what was signed.

    `seq` is the number of the first entry that fails, or None where the damage is not in one entry;
    `damage` is the name of the damage class (docs/ledger-format.md lists them). `before` is what a verification of
    the whole ledger had found by then, if it came so far (a `ledger.report.Before`).
    """

    code = "verification"
    exit_code = 5

    def __init__(self, message: str, *, damage: str, seq: int | None = None, advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.damage = damage
        self.seq = seq
        self.before: Any = None


class RecordError(AuditError):
    """An entry could not be made durable. Whatever it was for must not happen (P1)."""

    code = "not_recorded"
    exit_code = 4
    http_status = 503


class AccessError(AuditError):
    """A rule of access says no."""

    code = "access"
    exit_code = 6
    http_status = 409


class NotPermittedError(AccessError):
    """This principal may not do that."""

    code = "not_permitted"
    http_status = 403


class ClonedPasskeyError(NotPermittedError):
    """A passkey's counter did not go on: there may be a copy of it."""

    code = "cloned_passkey"


class NotFoundError(AccessError):
    """There is no such request, grant or session."""

    code = "not_found"
    http_status = 404


class TooManyError(AccessError):
    """Somebody asks for too much in too short a time. `retry_after` is in whole seconds."""

    code = "too_many"
    http_status = 429

    def __init__(self, message: str, *, retry_after: int, advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.retry_after = retry_after


class GateError(AuditError):
    """A kernel, a session or a server may not start."""

    code = "gate"
    exit_code = 7
    http_status = 403


class NotStartedError(GateError):
    """A process that may start could not be started: its program is missing, or its sandbox cannot be entered."""

    code = "not_started"
    http_status = 500


class ServerUnreachableError(AuditError):
    """A running server was needed and did not answer."""

    code = "server_unreachable"
    exit_code = 8
    http_status = 502
