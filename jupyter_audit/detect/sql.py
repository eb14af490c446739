"""
What a SQL text does: which tables it writes, and which it reads without a limit. Pure; nothing is executed.

sqlglot parses, in the dialects that are likely here; what it cannot parse is searched for patterns. Names of
tables are cut down to harmless characters, because they end in findings, which cannot be purged: values from
a statement never do.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from jupyter_audit.detect.fold import HOLE

# sqlglot logs statements that it does not know, with their text. Code belongs in the ledger, where it can be
# purged, and not in a server's log.
logging.getLogger("sqlglot").disabled = True

MOST_SQL = 20_000
"""Characters of SQL that are parsed; a longer text is searched for patterns."""

LIMIT_THAT_LIMITS = 10_000
"""A LIMIT above this many rows counts as none."""

_DIALECTS = ("postgres", "sqlite", "mysql", "tsql")
_HOLE_NAME = "hole__"

_STARTS = re.compile(
    r"(?is)^[\s(;]*(?:select\b.*\bfrom\b|with\b.*\b(?:select|insert|update|delete|merge)\b|table\s+\S+\s*;?\s*$"
    r"|insert\s+(?:or\s+\w+\s+|ignore\s+)?into\b|replace\s+into\b|update\s+(?:or\s+\w+\s+|only\s+)?\S+\s.*\bset\b"
    r"|delete\s+from\b|merge\s+into\b|truncate\s+\S+|drop\s+\w+\s+\S+|alter\s+\w+\s+\S+|create\s+\w+\s+\S+"
    r"|grant\s++.+\bto\b|revoke\s++.+\bfrom\b|copy\s++.+\b(?:from|to)\b|explain\b|load\s+data\b|rename\s+table\b"
    r"|begin\b.*;|start\s+transaction\b.*;|set\s+.*;|pragma\s+.*;|vacuum\s++.*into\b)"
)
_COMMENT = re.compile(r"(?s)/\*.*?(?:\*/|\Z)|--[^\n]*")
_EXPLAIN = re.compile(r"(?is)^\s*explain\b(\s*\([^)]*\)|(\s+(analyze|verbose|query\s+plan|extended))*)")
_PARAMETER = re.compile(r"%\(\w+\)s|%s")

_OBJECT = (
    r"(?:table|view|index|trigger|schema|database|sequence|function|procedure|user|role|type"
    r"|materialized\s+view)"
)
_PART = r"(?:[\w$]+|\"[^\"]{1,99}\"|`[^`]{1,99}`|\[[^\]]{1,99}\])"
_NAME = rf"({_PART}(?:\s*+\.\s*+{_PART})*)"
_WRITE_PATTERNS = tuple(
    (verb, re.compile(r"(?i)\b" + pattern + r"\s+" + _NAME))
    for verb, pattern in (
        ("INSERT", r"insert\s+(?:or\s+\w+\s+|ignore\s+)?into"),
        ("REPLACE", r"replace\s+into"),
        ("DELETE", r"delete\s+from(?:\s+only)?"),
        ("MERGE", r"merge\s+into"),
        ("TRUNCATE", r"truncate\s+table"),
        ("DROP", r"drop\s+" + _OBJECT + r"(?:\s+concurrently)?(?:\s+if\s+exists)?"),
        ("ALTER", r"alter\s+" + _OBJECT + r"(?:\s+if\s+exists)?"),
        (
            "CREATE",
            r"create\s+(?:or\s+replace\s+)?(?:unique\s+)?" + _OBJECT + r"(?:\s+concurrently)?(?:\s+if\s+not\s+exists)?",
        ),
        ("RENAME", r"rename\s+table"),
        ("LOAD", r"load\s+data\b.{0,300}?\binto\s+table"),
    )
)
_UPDATE_PATTERN = re.compile(r"(?i)\bupdate\s+(?:or\s+\w+\s+|only\s+)?" + _NAME + r"\s+(?:as\s+\w+\s+)?set\b")
_COPY_IN = re.compile(r"(?i)\bcopy\s+" + _NAME + r"\s*(?:\([^)]{0,2000}\)\s*)?from\b")

_WRITES: dict[type[exp.Expr], str] = {
    exp.Insert: "INSERT",
    exp.Update: "UPDATE",
    exp.Delete: "DELETE",
    exp.Merge: "MERGE",
    exp.Drop: "DROP",
    exp.Create: "CREATE",
    exp.Alter: "ALTER",
    exp.TruncateTable: "TRUNCATE",
    exp.Grant: "GRANT",
    exp.Revoke: "REVOKE",
    exp.LoadData: "LOAD",
}
# These give back as many values as they are given, so they do not make a result small.
_GATHERING = (exp.ArrayAgg, exp.GroupConcat, exp.JSONArrayAgg, exp.JSONObjectAgg, exp.JSONBObjectAgg)
_GATHERING_NAMES = frozenset({"json_group_array", "json_group_object", "json_agg", "jsonb_agg", "xmlagg", "string_agg"})
_CATALOGUES = re.compile(r"(?i)^(information_schema|pg_catalog|sys)\.|^(sqlite_(temp_)?(master|schema)|pg_\w+|pragma_\w+|dual)$")
_ENGLISH = frozenset(
    [
        "the",
        "a",
        "an",
        "this",
        "that",
        "these",
        "those",
        "your",
        "my",
        "our",
        "his",
        "her",
        "its",
        "their",
        "all",
        "any",
        "it",
        "them",
        "here",
        "there",
        "each",
        "every",
        "one",
    ]
)


@dataclass(frozen=True, slots=True)
class SqlFacts:
    """
    `verbs`: the kinds of statements. `tables`: what they name. `writes`: verb and table of each change to
    what lasts longer than the connection. `unlimited`: tables that are read from without WHERE, LIMIT or
    aggregate.
    """

    verbs: frozenset[str] = frozenset()
    tables: frozenset[str] = frozenset()
    writes: frozenset[tuple[str, str]] = frozenset()
    unlimited: frozenset[str] = frozenset()


def looks_like_sql(text: str) -> bool:
    """Say whether a text found in code is a SQL statement rather than a sentence."""
    return _STARTS.match(_COMMENT.sub(" ", text[:MOST_SQL])) is not None


def read_sql(text: str, temporary: frozenset[str] = frozenset(), *, bounded: bool = False) -> SqlFacts:
    """
    Return what the statements in `text` do.

    `temporary` names tables that the same code made as temporary ones. `bounded` says that the caller takes a
    known number of rows from the result (`fetchone`). Text with a hole where a clause may stand counts as
    limited.
    """
    text = _PARAMETER.sub(f" {_HOLE_NAME} ", text.replace(HOLE, _HOLE_NAME))
    plain = _COMMENT.sub(" ", text)
    explain = _EXPLAIN.match(plain)
    if explain:
        if "analy" not in explain.group().lower():
            return SqlFacts(verbs=frozenset({"EXPLAIN"}))
        plain = text = plain[explain.end() :]
    trees = _parse(text) if len(text) <= MOST_SQL else None
    if trees is None:
        return search_sql(plain)
    passing = temporary | temporaries(trees)
    verbs: set[str] = set()
    tables: set[str] = set()
    writes: set[tuple[str, str]] = set()
    unlimited: set[str] = set()
    for tree in trees:
        if isinstance(tree, exp.Command):
            found = search_sql(tree.sql())
            verbs |= found.verbs
            writes |= found.writes
            continue
        verbs.add(_verb(tree))
        tables |= {name for table in tree.find_all(exp.Table) if (name := _name(table))}
        writes |= set(_writes(tree, passing))
        if not bounded:
            unlimited |= set(_unlimited(tree))
    if not bounded and re.match(r"(?i)\s*copy\s", plain) and not writes:
        unlimited |= {name for tree in trees for table in tree.find_all(exp.Table) if (name := _name(table))}
    unlimited -= passing
    return SqlFacts(frozenset(verbs), frozenset(tables), frozenset(writes), frozenset(unlimited - _ENGLISH))


def search_sql(text: str) -> SqlFacts:
    """Return the writes found by pattern in any text: a shell command, code that does not parse."""
    text = _COMMENT.sub(" ", text)
    writes = {
        (verb, harmless(match.group(1)))
        for verb, pattern in (*_WRITE_PATTERNS, ("UPDATE", _UPDATE_PATTERN), ("COPY", _COPY_IN))
        for match in pattern.finditer(text)
    }
    writes = {(verb, table) for verb, table in writes if table.lower() not in _ENGLISH}
    return SqlFacts(
        verbs=frozenset(verb for verb, _ in writes),
        tables=frozenset(table for _, table in writes),
        writes=frozenset(writes),
    )


def temporaries(trees: Iterable[exp.Expr]) -> frozenset[str]:
    """Return the names of the temporary tables that these statements make."""
    return frozenset(
        _name(tree.this.find(exp.Table) or tree.this)
        for tree in trees
        if isinstance(tree, exp.Create) and _is_temporary(tree) and isinstance(tree.this, exp.Expr)
    )


def harmless(name: str) -> str:
    """Return a table's name, or a word in its place if it is too long or could be code or markup."""
    if _HOLE_NAME in name:
        return "(computed)"
    name = re.sub(r"[\s\"`\[\]]", "", name)
    return name if re.fullmatch(r"[\w.$#@-]{0,60}", name) else "(odd-name)"


def _parse(text: str) -> list[exp.Expr] | None:
    for dialect in _DIALECTS:
        try:
            trees = [tree for tree in sqlglot.parse(text, dialect=dialect) if tree is not None]
        except (SqlglotError, RecursionError, ValueError, AttributeError, TypeError, IndexError, KeyError):
            continue  # hostile text makes parsers fail in many ways; another dialect, or patterns, will do
        return list(trees)
    return None


def _verb(tree: exp.Expr) -> str:
    return "SELECT" if isinstance(tree, exp.Query) else _WRITES.get(type(tree), tree.key.upper()[:20])


def _name(node: object) -> str:
    if not isinstance(node, exp.Table):
        return harmless(node.name) if isinstance(node, exp.Expr) else ""
    if isinstance(node.this, exp.Func):
        return ""
    return harmless(".".join(part for part in (node.db, node.name) if part))


def _is_temporary(tree: exp.Create) -> bool:
    properties = tree.args.get("properties")
    return properties is not None and properties.find(exp.TemporaryProperty) is not None


def _writes(tree: exp.Expr, passing: frozenset[str]) -> Iterator[tuple[str, str]]:
    for node in tree.walk():
        verb = _WRITES.get(type(node))
        if verb is None:
            if isinstance(node, exp.Into):
                if not node.args.get("temporary"):
                    yield "CREATE", _target(node)
            elif isinstance(node, exp.Copy) and node.args.get("kind"):
                yield "COPY", _target(node)
            continue
        if isinstance(node, exp.Create) and _is_temporary(node):
            continue
        # UPDATE … SET inside MERGE or ON CONFLICT is told by the statement around it.
        if isinstance(node, (exp.Update, exp.Insert)) and node.find_ancestor(exp.Merge, exp.OnConflict):
            continue
        target = _target(node)
        if target in passing or target.lower().startswith(("temp.", "pg_temp.", "#")):
            continue
        yield verb, target


def _target(node: exp.Expr) -> str:
    for key in ("this", "tables", "expressions", "securable"):
        value = node.args.get(key)
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, exp.Expr):
                table = item if isinstance(item, exp.Table) else item.find(exp.Table)
                name = _name(table) if table is not None else ""
                if name:
                    return name
    return "(unnamed)"


def _unlimited(tree: exp.Expr) -> Iterator[str]:
    """The tables that a statement's result takes rows from with nothing to limit them."""
    match tree:
        case exp.Subquery():
            if not _limits(tree):
                yield from _unlimited(tree.this)
        case exp.SetOperation():
            if not _limits(tree):
                yield from _unlimited(tree.left)
                yield from _unlimited(tree.right)
        case exp.Select():
            if not _limits(tree) and not _filters(tree) and not _sums_up(tree):
                yield from _sources(tree)


def _sources(tree: exp.Select) -> Iterator[str]:
    with_ = tree.args.get("with_")
    named = {cte.alias: cte.this for cte in with_.expressions} if with_ else {}
    origin = tree.args.get("from_")
    nodes = [origin.this] if origin else []
    joins = tree.args.get("joins") or []
    if any(join.args.get("on") is not None and _has_constant_test(join.args["on"]) for join in joins):
        return
    nodes += [join.this for join in joins]
    for node in nodes:
        if isinstance(node, exp.Table):
            if node.alias.startswith(_HOLE_NAME):
                continue  # f"… FROM orders {where}": what follows the table is not known
            if node.name in named and not node.db:
                yield from _unlimited(named[node.name])
            elif (name := _name(node)) and not _CATALOGUES.match(name):
                yield name
        elif isinstance(node, exp.Subquery):
            yield from _unlimited(node)


def _limits(tree: exp.Expr) -> bool:
    limit = tree.args.get("limit")
    if limit is None:
        return False
    count = limit.args.get("count") if isinstance(limit, exp.Fetch) else limit.expression
    if isinstance(count, exp.Literal):
        return not count.is_string and count.name.isdigit() and int(count.name) <= LIMIT_THAT_LIMITS
    if isinstance(count, exp.Neg) or count is None:
        return isinstance(limit, exp.Fetch) and count is None
    return count.name.upper() not in ("ALL", "NULL") and not isinstance(count, exp.Null)


def _filters(tree: exp.Select) -> bool:
    """Whether WHERE can leave anything out: a test that names no column (1=1, TRUE) cannot."""
    where = tree.args.get("where")
    return where is not None and any(
        isinstance(node, (exp.Column, exp.Placeholder, exp.Parameter, exp.Exists, exp.Anonymous)) for node in where.walk()
    )


def _has_constant_test(test: exp.Expr) -> bool:
    """Whether a join compares a column with a constant or a parameter, which limits it as WHERE does."""
    return any(
        isinstance(node, (exp.Literal, exp.Placeholder, exp.Parameter)) and node.find_ancestor(exp.Predicate)
        for node in test.walk()
    ) and any(True for _ in test.find_all(exp.Column))


def _sums_up(tree: exp.Select) -> bool:
    """Whether the result is smaller than its tables: grouped, or every column an aggregate over all rows."""
    if tree.args.get("group"):
        return not any(_gathers(node) for item in tree.expressions for node in item.walk())
    return bool(tree.expressions) and all(
        any(isinstance(node, exp.AggFunc) and node.find_ancestor(exp.Window) is None for node in item.walk())
        and not any(_gathers(node) for node in item.walk())
        for item in tree.expressions
    )


def _gathers(node: exp.Expr) -> bool:
    if isinstance(node, _GATHERING):
        return True
    return isinstance(node, exp.Anonymous) and str(node.this).lower() in _GATHERING_NAMES
