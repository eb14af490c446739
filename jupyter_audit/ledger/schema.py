"""
The tables of a ledger file, version 1: the SQL text, and the check that a file has exactly these.

A commit of one entry changes one page for it, and one for its content, both at the end of a table: what else is kept
(hashes over many entries, places by which to find some) is written once in 256 entries. A content's `id` says whose it is,
see `contents_of`. `leaf` is a cache of the entry's leaf hash, by which a verifier can name the very entry that was changed
among several of one commit. The columns that people search by are computed from the entry's own text, so there is no second
truth to edit. The triggers stop mistakes, not an insider: whoever can write the file can drop them, and what they do
afterwards is found by hashes and signatures (P5). There are no views: with one, SQLite's own check may leave out the list of
free pages.
"""

from __future__ import annotations

import sqlite3

from jupyter_audit.ledger.damage import damaged
from jupyter_audit.ledger.envelope import MOST_CONTENTS

APPLICATION_ID = 0x4A41554C
"""`JAUL`, in the SQLite header at offset 68, so that `file` and others can tell what this is."""

FORMAT_VERSION = 1
"""The file's `user_version`, and `format` in entry 0."""

_ENTRY = """\
CREATE TABLE entry (
  seq INTEGER PRIMARY KEY,
  leaf BLOB NOT NULL,
  note TEXT,
  raw TEXT NOT NULL,
  time TEXT GENERATED ALWAYS AS (json_extract(raw, '$.time')) VIRTUAL,
  type TEXT GENERATED ALWAYS AS (json_extract(raw, '$.type')) VIRTUAL,
  actor TEXT GENERATED ALWAYS AS (json_extract(raw, '$.actor.name')) VIRTUAL,
  session TEXT GENERATED ALWAYS AS (json_extract(raw, '$.session')) VIRTUAL,
  "grant" TEXT GENERATED ALWAYS AS (json_extract(raw, '$.grant')) VIRTUAL
) STRICT"""

_CONTENT = """\
CREATE TABLE content (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  salt BLOB NOT NULL,
  encoding TEXT NOT NULL,
  data BLOB NOT NULL,
  seq INTEGER GENERATED ALWAYS AS (id >> 8) VIRTUAL
) STRICT"""

_SUBTREE = """\
CREATE TABLE subtree (
  level INTEGER NOT NULL,
  position INTEGER NOT NULL,
  hash BLOB NOT NULL,
  PRIMARY KEY (level, position)
) STRICT, WITHOUT ROWID"""

_PLACE = """\
CREATE TABLE place (
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  block INTEGER NOT NULL,
  offsets TEXT NOT NULL,
  PRIMARY KEY (name, value, block)
) STRICT, WITHOUT ROWID"""


def _trigger(table: str, verb: str, name: str) -> str:
    return (
        f"CREATE TRIGGER {table}_{name} BEFORE {verb} ON {table}\n"
        f"BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: {table} keeps what it has'); END"
    )


OBJECTS: dict[tuple[str, str], str] = {
    ("table", "entry"): _ENTRY,
    ("table", "content"): _CONTENT,
    ("table", "subtree"): _SUBTREE,
    ("table", "place"): _PLACE,
    **{
        ("trigger", f"{table}_{name}"): _trigger(table, verb, name)
        for table in ("entry", "content", "subtree", "place")
        for verb, name in (("UPDATE", "unchanged"), ("DELETE", "kept"))
    },
}
"""Every object of the schema: (type, name) to the SQL text that `sqlite_schema` keeps of it."""


def contents_of(start: int, stop: int) -> tuple[int, int]:
    """
    Return the lowest `id` that a content of the entries from `start` on, before `stop`, can have, and the one after the highest.

    The contents of an entry are numbered in the order of their names, from 256 times the entry's number on.
    """
    return start * MOST_CONTENTS, stop * MOST_CONTENTS


def create_schema(connection: sqlite3.Connection) -> None:
    """Make the tables in an empty database, inside the caller's transaction."""
    for sql in OBJECTS.values():
        connection.execute(sql)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")


def verify_schema(connection: sqlite3.Connection) -> None:
    """Raise `VerificationError` unless the file has the schema of version 1, and nothing else."""
    verify_tables(connection)
    found = _objects(connection)
    for key, sql in OBJECTS.items():
        if key not in found:
            raise damaged("schema", f"The ledger lacks its {key[0]} {key[1]}.")
        if found[key] != sql:
            raise damaged("schema", f"The {key[0]} {key[1]} of the ledger was changed.")
    for kind, name in found.keys() - OBJECTS.keys():
        raise damaged("schema", f"The ledger has a {kind} that does not belong to it: {name}.")


def verify_tables(connection: sqlite3.Connection) -> None:
    """Raise `VerificationError` unless the file is a ledger of version 1 whose tables can be read."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise damaged("schema", f"The file is not a ledger: its application_id is {application:#x}.")
    if version != FORMAT_VERSION:
        raise damaged(
            "schema", f"The ledger has format {version}; this program knows {FORMAT_VERSION}.", advice=_other_version(version)
        )
    (encoding,) = connection.execute("PRAGMA encoding").fetchone()
    if encoding != "UTF-8":
        raise damaged("schema", f"The ledger's text is stored as {encoding}, not as UTF-8.")
    found = _objects(connection)
    for (kind, name), sql in OBJECTS.items():
        if kind == "table" and found.get((kind, name)) != sql:
            raise damaged("schema", f"The {kind} {name} of the ledger is missing or was changed.")


def _other_version(version: int) -> str:
    """Return what to do with a file of another format than this program's."""
    if version > FORMAT_VERSION:
        return "A newer Jupyter Audit made it: read it, and write to it, with that one. Nothing was changed."
    return "No Jupyter Audit made ledgers of that format, so somebody changed the number. Keep the file for evidence."


def _objects(connection: sqlite3.Connection) -> dict[tuple[str, str], object]:
    """Return every object with its SQL text; None for one that is filed under a table that its text is not about."""
    return {
        (str(kind), str(name)): sql if table == _table_of(str(kind), str(name)) else None
        for kind, name, table, sql in connection.execute(
            # but for those that SQLite makes for primary keys, and refuses where it did not
            "SELECT type, name, tbl_name, sql FROM sqlite_schema "
            "WHERE NOT (type IS 'index' AND name IS 'sqlite_autoindex_' || tbl_name || '_1' AND sql IS NULL)"
        )
    }


def _table_of(kind: str, name: str) -> str:
    sql = OBJECTS.get((kind, name), "")
    return name if kind == "table" else sql.partition(" ON ")[2].split(maxsplit=1)[0] if " ON " in sql else ""
