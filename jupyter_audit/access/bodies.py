"""The bodies of entries as they are folded: each field of its type, or nothing follows from the entry. Pure."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar, cast

from jupyter_audit.model import Entry
from jupyter_audit.record import kinds


class AnomalyError(Exception):
    """The entry at hand does not follow from the ones before it."""


K = TypeVar("K", bound=kinds.Kind)
_TYPES = {"str": str, "int": int, "bool": bool, "Sequence[str]": list}


def read_body(entry: Entry, kind: type[K]) -> K:
    """Return the entry's body as `kind`, or raise `AnomalyError` if a field is not of its type."""
    said = kinds.read(entry, kind)
    for each in dataclasses.fields(cast(Any, kind)):
        value = getattr(said, each.name)
        if each.name not in entry.body:
            continue  # written before there was such a field: it has its default
        if type(value) is not _TYPES[str(each.type)] or (isinstance(value, list) and {*map(type, value)} - {str}):
            raise AnomalyError(f"{entry.type} says {each.name} in a form that it cannot have")
    return said
