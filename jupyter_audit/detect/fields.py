"""
The fields that rules can name: the one table from which the view, its documentation and its checks are made.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Form(StrEnum):
    """What a field holds."""

    TEXT = "text"
    NUMBER = "number"
    YES_NO = "yes/no"
    LIST = "list"


@dataclass(frozen=True, slots=True)
class Field:
    """
    One field. `sql` gives its value from the entry `e`.

    A LIST is a text of words with a space before and after each, so that `|contains: ' word '` finds one; it
    is absent when there is none. `sayable`: may stand in a finding's explanation, which cannot be purged. `before`: is
    known before the code runs, so that a guardrail can go by it.
    """

    name: str
    form: Form
    meaning: str
    sql: str
    sayable: bool = True
    before: bool = False


def _of_body(
    name: str, form: Form, meaning: str, *, sayable: bool = True, key: str | None = None, before: bool = False
) -> Field:
    return Field(name, form, meaning, f"json_extract(e.raw, '$.body.{key or name}')", sayable, before)


_HAS_CODE = "e.type IN ('cell.admitted', 'cell.refused', 'message.admitted', 'message.refused')"
_CELL_ENTRY = (
    "CASE WHEN e.type IN ('cell.finished', 'cell.late_output') "
    "THEN nullif(json_extract(e.raw, '$.body.admitted'), -1) WHEN e.type LIKE 'cell.%' THEN e.seq END"
)
PERSON = (
    "CASE WHEN e.type IN ('cell.finished', 'cell.late_output') THEN "
    "(SELECT a.actor FROM main.entry AS a WHERE a.seq = json_extract(e.raw, '$.body.admitted')) "
    "ELSE e.actor END"
)
_IS_WORK = (
    "(e.type = 'cell.admitted' AND coalesce(json_extract(e.raw, '$.body.canary'), 0) = 0 OR "
    "e.type = 'message.admitted' "
    "AND json_extract(e.raw, '$.body.msg_type') IN ('debug_request', 'input_reply'))"
)
_IS_TEXT = (
    "(json_extract(value, '$.output') LIKE 'stream:%' OR json_extract(value, '$.mime') LIKE 'text/%' "
    "OR json_extract(value, '$.mime') = 'application/json')"
)


def _from_outputs(name: str, meaning: str, expression: str, where: str = "1") -> Field:
    outputs = "json_each(e.raw, '$.body.outputs')"
    return Field(name, Form.NUMBER, meaning, f"(SELECT {expression} FROM {outputs} WHERE {where})")  # noqa: S608


def _from_code(name: str, form: Form, meaning: str, *, sayable: bool = True) -> Field:
    return Field(name, form, meaning, f"CASE WHEN {_HAS_CODE} THEN audit_code(e.seq, '{name}') END", sayable, before=True)


def _from_time(name: str, form: Form, meaning: str) -> Field:
    return Field(name, form, meaning, f"audit_time(e.time, '{name}')")


ALL_FIELDS: tuple[Field, ...] = (
    Field("seq", Form.NUMBER, "The entry's number.", "e.seq"),
    Field("time", Form.TEXT, "When it was recorded, RFC 3339 in UTC.", "e.time"),
    Field("type", Form.TEXT, "The kind of entry, such as `cell.admitted` (docs/entries.md).", "e.type"),
    Field("actor", Form.TEXT, "Who the entry is about; the server itself is `jupyter-audit`.", "e.actor"),
    Field("person", Form.TEXT, "Whose work it is: the actor, or for output the actor of its cell.", PERSON, before=True),
    Field(
        "vouched_by",
        Form.TEXT,
        "Who says that the actor is who they are.",
        "json_extract(e.raw, '$.actor.vouched_by')",
    ),
    Field("grant", Form.TEXT, "The grant it happened under.", 'e."grant"'),
    Field("session", Form.TEXT, "The session it happened in.", "e.session"),
    Field(
        "work",
        Form.YES_NO,
        "Whether a person's code went to a kernel: an admitted cell (the canary cell is none), debugger message or typed input.",
        _IS_WORK,
        before=True,
    ),
    Field("cell_entry", Form.NUMBER, "The entry of the cell that this is, or that this is about.", _CELL_ENTRY),
    _of_body("kernel_id", Form.TEXT, "The kernel."),
    _of_body("kernel_name", Form.TEXT, "The kernelspec of a session that started or was refused.", before=True),
    _of_body("msg_id", Form.TEXT, "The client's name for the message (its word).", sayable=False),
    _of_body("msg_type", Form.TEXT, "The message's type, where it is no cell.", sayable=False, before=True),
    _of_body("channel", Form.TEXT, "The channel on which the message came.", sayable=False),
    _of_body("cell", Form.TEXT, "The client's name for the notebook cell (its word).", sayable=False),
    _of_body("silent", Form.YES_NO, "Whether the cell asked to run without a trace in the notebook.", before=True),
    _of_body("store_history", Form.YES_NO, "Whether the cell asked to be in the kernel's history.", before=True),
    _of_body("lines", Form.NUMBER, "Lines of code in the cell.", before=True),
    _of_body("canary", Form.YES_NO, "Whether the cell is the server's own test of a new kernel."),
    _of_body("cause", Form.TEXT, "Why something was refused or ended; a short word such as `no_grant`."),
    _of_body("refusal", Form.TEXT, "Of an act of access that was refused: why, in a word such as `not_permitted`."),
    _of_body("status", Form.TEXT, "How a cell ended: ok, error, aborted, ended, unknown."),
    _of_body("error", Form.TEXT, "The name of the error a cell ended with (the kernel's word).", sayable=False),
    _of_body("duration_ms", Form.NUMBER, "How long a cell took, in milliseconds, its wait behind other cells included."),
    _of_body("isolation", Form.TEXT, "The isolation rung of a session or server."),
    _of_body("profile", Form.TEXT, "The profile of a request or approval; for a guardrail, its own.", before=True),
    Field(
        "warned",
        Form.LIST,
        "The guardrails that an admitted cell or message broke, which the profile only warns of.",
        "(SELECT ' ' || group_concat(value, '  ') || ' ' FROM json_each(e.raw, '$.body.warned'))",
    ),
    _of_body("self_approved", Form.YES_NO, "Whether requester and approver of a grant are one person."),
    _from_outputs("outputs", "How many outputs a cell had.", "count(*)"),
    _from_outputs("bytes_out", "Bytes of all outputs of a cell.", "sum(json_extract(value, '$.bytes'))"),
    _from_outputs(
        "text_bytes_out",
        "Bytes of those outputs that are text, tables or JSON.",
        "sum(json_extract(value, '$.bytes'))",
        _IS_TEXT,
    ),
    _from_outputs(
        "lines_out",
        "Lines that the cell printed, or the longest text it showed.",
        "max(json_extract(value, '$.lines'))",
        _IS_TEXT,
    ),
    _from_outputs(
        "rows_out",
        "Rows of the largest table that the cell showed or said to have.",
        "max(json_extract(value, '$.rows'))",
    ),
    _from_time("time_local", Form.TEXT, "Date and time in `time_zone`, as 2026-11-24 09:30."),
    _from_time("hour_local", Form.NUMBER, "Hour of the day in `time_zone`, 0 to 23."),
    _from_time("weekday_local", Form.TEXT, "Day of the week in `time_zone`, such as Monday."),
    _from_time("off_hours", Form.YES_NO, "Whether it was outside `working_hours` or on a weekend."),
    _from_code("code", Form.TEXT, "All the code of the message; absent when it was purged.", sayable=False),
    _from_code(
        "uses",
        Form.LIST,
        "Dotted names that the code calls, imports or passes on, aliases worked out: `subprocess.run`.",
        sayable=False,
    ),
    _from_code("magics", Form.LIST, "IPython magics that it uses, without their `%`; a shell line is `!`."),
    _from_code("programs", Form.LIST, "First words of the shell commands that it runs.", sayable=False),
    _from_code("sql_verbs", Form.LIST, "Kinds of SQL statements found in its texts: `SELECT`, `DELETE`."),
    _from_code("sql_tables", Form.LIST, "Tables that those statements name; `(computed)` where unknown."),
    _from_code(
        "sql_writes",
        Form.LIST,
        "What those statements change, as `DELETE:orders`; temporary tables are left out.",
    ),
    _from_code("sql_unlimited", Form.LIST, "Tables read without WHERE, LIMIT (of at most 10,000) or aggregate."),
    _from_code("obfuscated", Form.TEXT, "How the code hides what it runs: exec of a computed text, and the like."),
    _from_code(
        "paths",
        Form.LIST,
        "Texts of the code that may name a file, parts put together: `~/.aws/credentials`.",
        sayable=False,
    ),
    _from_code("read_as", Form.TEXT, "How the code was read: `python`, `ipython`, or by patterns as `text`."),
)

FIELDS = {field.name: field for field in ALL_FIELDS}
