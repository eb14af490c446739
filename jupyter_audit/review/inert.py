"""
Hostile text made harmless to look at: code, output and names come from those whom the auditor reviews.

Pure. What is returned shows everything that was there and does nothing: no escape sequence reaches a
terminal, no letter is hidden or turned around, no tag reaches a browser (`escape`). Must never drop a
character silently.
"""

from __future__ import annotations

import html
import unicodedata

MOST = 20_000
"""Characters of one text that are shown unless a caller says otherwise."""

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories that show nothing, or change how others are shown."""

_CONTROLS = (
    *("NUL", "SOH", "STX", "ETX", "EOT", "ENQ", "ACK", "BEL", "BS", "HT", "LF", "VT", "FF", "CR", "SO", "SI"),
    *("DLE", "DC1", "DC2", "DC3", "DC4", "NAK", "SYN", "ETB", "CAN", "EM", "SUB", "ESC", "FS", "GS", "RS"),
    "US",
)


def inert(text: object, most: int = MOST) -> str:
    """
    Return `text` with every character that acts or hides replaced by one that shows it.

    Newline and tab stay. Control characters become their names, such as ⟨ESC⟩; lone surrogates and characters
    that reorder or hide text their numbers, such as ⟨U+202E⟩. Beyond `most` characters a note says how many
    more there were.
    """
    whole = text if isinstance(text, str) else str(text)
    shown = whole[:most].replace("\r\n", "\n")
    if not (shown.isascii() and shown.isprintable()):
        shown = "".join(map(_visible, shown))
    left = len(whole) - most
    return f"{shown}\n… {left:,} more characters" if left > 0 else shown


def one_line(text: object, most: int = 200) -> str:
    """Return `text` as `inert` does, on one line, cut to `most` characters with an ellipsis."""
    whole = text if isinstance(text, str) else str(text)
    shown = inert(whole[:most], most).replace("\n", " ⏎ ").replace("\t", " ")
    return f"{shown}…" if len(whole) > most else shown


def escape(text: object, most: int = MOST) -> str:
    """Return `text` made inert, for HTML: between tags or within a quoted attribute."""
    return html.escape(inert(text, most), quote=True)


def escape_line(text: object, most: int = 200) -> str:
    """Return `text` on one line, for HTML: between tags or within a quoted attribute."""
    return html.escape(one_line(text, most), quote=True)


def _visible(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) not in _HIDDEN:
        return character
    code = ord(character)
    return f"⟨{_CONTROLS[code]}⟩" if code < len(_CONTROLS) else f"⟨U+{code:04X}⟩"
