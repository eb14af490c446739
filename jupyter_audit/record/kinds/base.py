"""What every kind of entry is made of."""

from __future__ import annotations

from typing import ClassVar


class Kind:
    """Base of all kinds; `TYPE` is the entry's type."""

    TYPE: ClassVar[str]
