"""
Which bytes of a SQLite file are part of what it says: read from the file format (https://www.sqlite.org/fileformat2.html).

`without_meaning` gives, for each byte that is not, the reason why; docs/ledger-format.md has the same reasons in words.
"""

from __future__ import annotations

import struct

FREE = "space between cells and cell pointers, free pages, the ends of overflow pages"
COUNTERS = "the file change counter and the schema cookie"
WRITERS = "the version that a program must know to write the file"
CACHE = "the suggested size of the page cache"
LIBRARY = "the version of the library that wrote last, and when that holds"
RESERVED = "reserved bytes of the header"
ENCODING = "all but the two lowest bits of the text encoding"
SCHEMA = "the upper bytes of the schema format"
NUMBER = "the place that a row's number has in its record, the numbers of the rows of sqlite_schema, and the root page of triggers"

HEADER = {
    18: WRITERS,
    **dict.fromkeys(range(24, 28), COUNTERS),
    **dict.fromkeys(range(40, 44), COUNTERS),
    **dict.fromkeys(range(44, 47), SCHEMA),
    **dict.fromkeys(range(48, 52), CACHE),
    **dict.fromkeys(range(56, 60), ENCODING),
    **dict.fromkeys(range(72, 92), RESERVED),
    **dict.fromkeys(range(92, 100), LIBRARY),
}


def without_meaning(data: bytes) -> dict[int, str]:
    """Return the bytes that say nothing, with the reason for each. The file must be whole."""
    (size,) = struct.unpack(">H", data[16:18])
    said: set[int] = set(range(100))
    numbers: set[int] = set()
    overflow: set[int] = set()
    for page in range(len(data) // size):
        start = page * size
        head = start + (100 if page == 0 else 0)
        if page + 1 not in overflow and data[head] in (2, 5, 10, 13):
            _read_page(data, size, start, head, said, numbers, overflow)
    reasons = dict.fromkeys(set(range(len(data))) - said, FREE)
    return reasons | HEADER | dict.fromkeys(numbers, NUMBER)


def pages_of_tree(data: bytes, root: int) -> set[int]:
    """Return the pages, numbered from 1, of the tree of a table without row numbers: inner ones, leaves and overflow."""
    (size,) = struct.unpack(">H", data[16:18])
    found = {root}
    start = (root - 1) * size
    inner = data[start] == 2
    (count,) = struct.unpack(">H", data[start + 3 : start + 5])
    pointers = start + (12 if inner else 8)
    for number in range(count):
        (offset,) = struct.unpack(">H", data[pointers + 2 * number :][:2])
        at = start + offset
        if inner:
            found |= pages_of_tree(data, struct.unpack(">I", data[at : at + 4])[0])
            at += 4
        payload, length = _varint(data, at)
        local = _local(payload, size, leaf_of_table=False)
        page = struct.unpack(">I", data[at + length + local :][:4])[0] if payload > local else 0
        while page:
            found.add(page)
            (page,) = struct.unpack(">I", data[(page - 1) * size :][:4])
    if inner:
        found |= pages_of_tree(data, struct.unpack(">I", data[start + 8 : start + 12])[0])
    return found


def _read_page(data: bytes, size: int, start: int, head: int, said: set[int], numbers: set[int], overflow: set[int]) -> None:
    """Section 1.6: a page of a table's or an index's tree."""
    kind = data[head]
    inner, table = kind in (2, 5), kind in (5, 13)
    (count,) = struct.unpack(">H", data[head + 3 : head + 5])
    pointers = head + (12 if inner else 8)
    said.update(range(head, pointers + 2 * count))
    for number in range(count):
        (offset,) = struct.unpack(">H", data[pointers + 2 * number :][:2])
        at = cell = start + offset
        at += 4 if inner else 0
        payload = 0
        if kind != 5:
            payload, length = _varint(data, at)
            at += length
        local = _local(payload, size, leaf_of_table=kind == 13)
        if table:
            row, at = at, at + _varint(data, at)[1]
            if kind == 13 and b"CREATE " in data[at : at + local]:
                numbers.update(range(row, at))
            if kind == 13 and b"CREATE TRIGGER" in data[at : at + local]:
                numbers.add(at + 4)  # the fourth column; the lengths of the three before it take a byte each
        said.update(range(cell, at + local))
        if kind == 13 and payload:
            _, length = _varint(data, at)
            if data[at + length] == 0:  # a NULL in the first column of a table with row numbers: INTEGER PRIMARY KEY
                numbers.add(at + length)
        rest, at = payload - local, at + local
        if rest:
            said.update(range(at, at + 4))
        while rest:
            (page,) = struct.unpack(">I", data[at : at + 4])
            overflow.add(page)
            at = (page - 1) * size
            said.update(range(at, at + 4 + min(rest, size - 4)))
            rest -= min(rest, size - 4)


def _local(payload: int, size: int, *, leaf_of_table: bool) -> int:
    """How much of a payload stands in its cell; the rest is in overflow pages."""
    most = size - 35 if leaf_of_table else (size - 12) * 64 // 255 - 23
    if payload <= most:
        return payload
    least = (size - 12) * 32 // 255 - 23
    fits = least + (payload - least) % (size - 4)
    return fits if fits <= most else least


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for length in range(1, 9):
        byte = data[at + length - 1]
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            return value, length
    return value << 8 | data[at + 8], 9
