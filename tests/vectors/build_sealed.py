"""
Makes `sealed-v1/`, a ledger with contents sealed to auditors, and `bad-sealed/`, what can be done to those. Run once, never again:

    python tests/vectors/build_sealed.py

The signing keys are made for it and thrown away. Anna's secret key is kept, so that others can try; Bob's is not.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

from nacl.public import PublicKey, SealedBox

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "ledger"))

from ledger_story import EVE, SetClock, a_draft, tamper  # noqa: E402

from jupyter_audit.home import Home  # noqa: E402
from jupyter_audit.ledger import create_ledger, open_ledger  # noqa: E402
from jupyter_audit.ledger.auditors import AuditorKey, AuditorSecret  # noqa: E402
from jupyter_audit.ledger.content import SALT_SIZE, commit, store  # noqa: E402
from jupyter_audit.ledger.purging import Wanted, purge  # noqa: E402
from jupyter_audit.ledger.sealing import MAGIC, seal  # noqa: E402
from jupyter_audit.model import Commitment, Content  # noqa: E402

PLAIN = {1: "before = 'sealing was on'", 2: "print('sealed')", 3: "x = 1\n" * 400, 4: "", 5: "for = 'bob alone'"}
ANNA, BOB = AuditorSecret.generate("anna"), AuditorSecret.generate("bob@example.org")


def build(home: Home) -> None:
    """Write entries 0 to 8: one content in clear, four sealed, one of them for Bob alone, one purged, one more."""
    clock = SetClock()
    create_ledger(home, clock=clock, actor=EVE)
    with open_ledger(home, clock=clock) as ledger:
        ledger.append([a_draft(1, code=PLAIN[1])])
    both = [ANNA.public, BOB.public]
    with open_ledger(home, clock=clock, sealed_to=both) as ledger:
        ledger.append([a_draft(2, code=PLAIN[2]), a_draft(3, code=PLAIN[3])])
        ledger.append([empty()])
    with open_ledger(home, clock=clock, sealed_to=[BOB.public]) as ledger:
        ledger.append([a_draft(5, code=PLAIN[5])])
    with open_ledger(home, clock=clock, sealed_to=both) as ledger:
        ledger.append([a_draft(6, code="secret = 'to be purged'")])
        purge(ledger, Wanted(session="s-3"), actor=EVE, reason="asked for")
        ledger.append([a_draft(8, code="print(8)")])


def empty() -> Any:
    draft = a_draft(4)
    return type(draft)(draft.type, draft.body, actor=EVE, session=draft.session, contents={"message": Content(b"")})


Lie = Callable[[Content, Sequence[AuditorKey]], tuple[Commitment, bytes, str, bytes]]


def lying(lie: Lie) -> Callable[[Home], None]:
    """A writer with the signing key that seals entry 9 wrong."""

    def act(home: Home) -> None:
        with (
            patch("jupyter_audit.ledger.packing.store", lie),
            open_ledger(home, clock=SetClock(), sealed_to=[ANNA.public, BOB.public]) as ledger,
        ):
            ledger.append([a_draft(9)])

    return act


def recorded(content: Content, sealed: bytes) -> tuple[Commitment, bytes, str, bytes]:
    """A commitment to `content` over sealed bytes that may hold anything."""
    digest = commit(content.data, bytes(SALT_SIZE))
    return Commitment(digest, len(content.data), content.media_type, sha256(sealed).hexdigest()), b"", "sealed", sealed


def inner(data: bytes, packing: bytes = b"\0") -> bytes:
    return bytes(SALT_SIZE) + packing + data


def change(seq: int, how: Callable[[bytes], bytes]) -> Callable[[Home], None]:
    def act(home: Home) -> None:
        with closing(sqlite3.connect(home.ledger)) as connection:
            (data,) = connection.execute("SELECT data FROM content WHERE seq = ?", (seq,)).fetchone()
        tamper(home, ("UPDATE content SET data = ? WHERE seq = ?", (how(data), seq)))

    return act


def for_a_stranger(data: bytes) -> bytes:
    """Bob's line given to somebody who is not Bob."""
    stranger = AuditorSecret.generate("mallory").public
    box = base64.b64encode(SealedBox(PublicKey(stranger.key)).encrypt(bytes(32)))
    return re.sub(rb"bob@[^\n]*", stranger.label.encode() + b" " + box, data, count=1)


def wrong_box(data: bytes) -> bytes:
    """A line that names Anna and holds what she cannot open."""
    box = base64.b64encode(SealedBox(PublicKey(BOB.public.key)).encrypt(bytes(32)))
    return re.sub(rb"(anna\+\w+) [^\n]*", rb"\1 " + box, data, count=1)


SWAP = [
    "CREATE TEMP TABLE swap AS SELECT seq, data FROM content WHERE seq IN (2, 3)",
    "UPDATE content SET data = (SELECT data FROM swap WHERE seq = 3) WHERE seq = 2",
    "UPDATE content SET data = (SELECT data FROM swap WHERE seq = 2) WHERE seq = 3",
]
Found = tuple[str, int] | None
BAD: list[tuple[str, Found, Found, Callable[[Home], object]]] = [
    ("swapped", ("content_changed", 2), ("content_changed", 2), lambda home: tamper(home, *SWAP)),
    ("recipient_dropped", ("content_changed", 3), ("content_changed", 3), change(3, lambda d: re.sub(rb"bob@[^\n]*\n", b"", d))),
    ("recipient_replaced", ("content_changed", 3), ("content_changed", 3), change(3, for_a_stranger)),
    ("sealed_anew", ("content_changed", 3), ("content_changed", 3), change(3, lambda d: seal(inner(b"x = 2"), [ANNA.public]))),
    ("cut", ("content_changed", 3), ("content_changed", 3), change(3, lambda d: d[:-1])),
    (
        "opened",
        ("content_changed", 2),
        ("content_changed", 2),
        lambda home: tamper(
            home,
            (
                "UPDATE content SET salt = ?, encoding = 'plain', data = ? WHERE seq = 2",
                (bytes(32), PLAIN[2].encode()),
            ),
        ),
    ),
    ("salted", ("content_changed", 2), ("content_changed", 2), lambda home: tamper(home, "UPDATE content SET salt = zeroblob(32) WHERE seq = 2")),
    (
        "clear_made_sealed",
        ("content_changed", 1),
        ("content_changed", 1),
        lambda home: tamper(
            home,
            ("UPDATE content SET salt = x'', encoding = 'sealed', data = ? WHERE seq = 1", (seal(inner(b"x"), [BOB.public]),)),
        ),
    ),
    ("removed", ("content_missing", 3), ("content_missing", 3), lambda home: tamper(home, "DELETE FROM content WHERE seq = 3")),
    ("other_data", None, ("content_false", 9), lying(lambda c, a: recorded(c, seal(inner(b"print(0)"), a)))),
    ("other_size", None, ("content_false", 9), lying(lambda c, a: recorded(c, seal(inner(c.data + b" "), a)))),
    ("unknown_packing", None, ("content_false", 9), lying(lambda c, a: recorded(c, seal(inner(c.data, b"\2"), a)))),
    ("not_zlib", None, ("content_false", 9), lying(lambda c, a: recorded(c, seal(inner(c.data, b"\1"), a)))),
    ("empty_inside", None, ("content_false", 9), lying(lambda c, a: recorded(c, seal(b"", a)))),
    ("anna_cannot_open", None, ("content_false", 9), lying(lambda c, a: recorded(c, wrong_box(seal(inner(c.data), a))))),
    ("no_recipient", ("content_false", 9), ("content_false", 9), lying(lambda c, a: recorded(c, MAGIC + b"\n" + bytes(80)))),
    ("named_twice", ("content_false", 9), ("content_false", 9), lying(lambda c, a: recorded(c, seal(inner(c.data), [a[0], a[0]])))),
    ("no_form", ("content_false", 9), ("content_false", 9), lying(lambda c, a: recorded(c, c.data))),
    ("sealed_unsaid", ("content_changed", 9), ("content_changed", 9), lying(lambda c, a: (store(c)[0], *store(c, a)[1:]))),
]


def said(found: Found) -> dict[str, Any]:
    return {"damage": "whole", "seq": None} if found is None else {"damage": found[0], "seq": found[1]}


def settle(home: Home) -> None:
    with closing(sqlite3.connect(home.ledger)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("VACUUM")
        connection.execute("PRAGMA journal_mode = DELETE")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "audit")
        build(home)
        settle(home)
        good = HERE / "sealed-v1"
        good.mkdir()
        shutil.copy(home.ledger, good / "ledger.db")
        shutil.copy(home.verifier_key, good / "ledger.vkey")
        (good / "anna.auditor").write_text(ANNA.text(), encoding="ascii")
        (good / "auditors.txt").write_text(f"{ANNA.public}\n{BOB.public}\n", encoding="ascii")
        held: dict[str, Any] = {str(seq): text for seq, text in PLAIN.items() if seq != 5} | {"8": "print(8)"}
        (good / "contents.json").write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")
        for name, without, with_key, act in BAD:
            place = HERE / "bad-sealed" / name
            place.mkdir(parents=True)
            copy = Home(Path(folder) / name)
            shutil.copytree(home.path, copy.path)
            act(copy)
            settle(copy)
            shutil.copy(copy.ledger, place / "ledger.db")
            found = {"without_key": said(without), "with_key": said(with_key)}
            (place / "expected.json").write_text(json.dumps(found) + "\n", encoding="utf-8")
            if name == "no_form":  # and one for the table of all classes
                place = HERE / "bad" / "content_false"
                place.mkdir()
                shutil.copy(copy.ledger, place / "ledger.db")
                shutil.copy(copy.verifier_key, place / "ledger.vkey")
                (place / "expected.json").write_text(json.dumps(said(without)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
