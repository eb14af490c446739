"""
Makes `proofs/`: proof files about `ledger-v1/` and `sealed-v1/`, good and bad, and in `expected.json` what each shows. Run once, never again:

    python tests/vectors/build_proofs.py

No secret is needed: a proof is made from what the ledger holds.
"""

from __future__ import annotations

import base64
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_audit.ledger import LedgerReader
from jupyter_audit.ledger.auditors import parse_auditor_secret
from jupyter_audit.ledger.proof import Inclusion, format_entry_proof, format_growth_proof, format_tlog_proof
from jupyter_audit.ledger.proving import prove_entry, prove_growth, prove_key_change

HERE = Path(__file__).parent
Value = dict[str, Any]
PURGED, PACKED, CHANGE, SIZE = 4, 276, 278, 282


def at(reader: LedgerReader, seq: int, size: int) -> Inclusion:
    """The proof of an entry under an older checkpoint."""
    return Inclusion(reader.entry(seq).raw, format_tlog_proof(seq, reader.inclusion_proof(seq, size), reader.checkpoint_at(size)))


def good(reader: LedgerReader, sealed: LedgerReader, anna: LedgerReader) -> dict[str, tuple[str, Value]]:
    """Proof files by name, each with what it shows."""
    old, changed, newest = (reader.checkpoint_at(size) for size in (12, CHANGE + 1, SIZE))
    found: dict[str, tuple[str, Value]] = {}
    for seq in (0, 14, 273, PURGED, PACKED, CHANGE, SIZE - 1):
        text = prove_entry(reader, seq, with_contents=True)
        shown = json.loads(text)["contents"]
        found[f"entry-{seq}"] = text, {"seq": seq, "size": SIZE, "contents": sorted(shown)}
    found["entry-without-contents"] = prove_entry(reader, 3, with_contents=False), {"seq": 3, "size": SIZE, "contents": []}
    found["entry-of-one"] = format_entry_proof(at(reader, 0, 1), [], {}), {"seq": 0, "size": 1, "contents": []}
    found["entry-under-the-first-key"] = format_entry_proof(at(reader, 5, 12), [], {}), {"seq": 5, "size": 12, "contents": []}
    value = json.loads(prove_entry(reader, PACKED, with_contents=True))
    text = json.dumps(dict(reversed(value.items())), ensure_ascii=True, separators=(" ,\n", "\t:"))
    found["entry-spelled-otherwise"] = text, {"seq": PACKED, "size": SIZE, "contents": ["message"]}
    for name, ledger, closed in (("sealed", sealed, True), ("opened", anna, False)):
        shows = {"seq": 2, "size": ledger.size(), "ledger": "sealed-v1"}
        shows |= {"contents": [] if closed else ["message"], "sealed": ["message"] if closed else []}
        found[f"entry-{name}"] = prove_entry(ledger, 2, with_contents=True), shows
    for first, second in ((old, newest), (old, changed), (changed, newest), (newest, newest), (reader.checkpoint_at(1), old)):
        sizes = [int(note.split("\n")[1]) for note in (first, second)]
        shown = {"old": sizes[0], "new": sizes[1]}
        found[f"growth-{sizes[0]}-{sizes[1]}"] = prove_growth(reader, first, second), shown
    return found


def bad(reader: LedgerReader, sealed: LedgerReader) -> dict[str, str]:
    """Proof files that show nothing, by what is wrong with them."""
    entry, growth = prove_entry(reader, PACKED, with_contents=True), prove_growth(reader, reader.checkpoint_at(12))
    change = {"entry": reader.entry(CHANGE).raw, "proof": prove_key_change(reader, reader.entry(CHANGE)).tlog_proof}
    note = reader.checkpoint_note()
    found = {
        "empty": "",
        "no-json": entry[:-4],
        "no-object": "[]",
        "nested-deep": "[" * 20_000,
        "a-name-twice": entry.replace("{", '{"format": "jupyter-audit/entry-proof@v1",', 1),
        "a-name-twice-within": entry.replace('"salt"', '"data": "", "salt"'),
    }

    def put(name: str, text: str, edit: Callable[[Value], object]) -> None:
        value = json.loads(text)
        edited = edit(value)
        found[name] = json.dumps(edited if isinstance(edited, dict) else value, ensure_ascii=False, indent=1) + "\n"

    def lines(name: str, edit: Callable[[list[str]], object]) -> None:
        def act(value: Value) -> None:
            parts = value["proof"].split("\n")
            edit(parts)
            value["proof"] = "\n".join(parts)

        put(name, entry, act)

    def without(member: str) -> Callable[[Value], Value]:
        return lambda value: {name: part for name, part in value.items() if name != member}

    put("another-format", entry, lambda v: v | {"format": "jupyter-audit/entry-proof@v2"})
    put("the-other-format", entry, lambda v: v | {"format": "jupyter-audit/consistency-proof@v1"})
    put("a-member-more", entry, lambda v: v | {"note": note})
    for member in ("format", "entry", "proof", "key_changes", "contents"):
        put(f"without-{member}", entry, without(member))
    put("members-are-null", entry, lambda v: v | {"contents": None})
    put("key-changes-are-null", entry, lambda v: v | {"key_changes": None})
    put("entry-changed", entry, lambda v: v | {"entry": v["entry"].replace("eve", "bob")})
    put("entry-spelled-otherwise", entry, lambda v: v | {"entry": v["entry"] + " "})
    put("another-entry", entry, lambda v: v | {"entry": reader.entry(3).raw})
    lines("another-index", lambda parts: parts.__setitem__(1, f"index {PACKED + 1}"))
    lines("index-with-a-zero", lambda parts: parts.__setitem__(1, f"index 0{PACKED}"))
    lines("another-tlog-proof", lambda parts: parts.__setitem__(0, "c2sp.org/tlog-proof@v2"))
    lines("an-extra-line", lambda parts: parts.insert(1, "extra AAAA"))
    lines("a-hash-fewer", lambda parts: parts.pop(2))
    lines("a-hash-more", lambda parts: parts.insert(2, parts[2]))
    lines("hashes-swapped", lambda parts: parts.__setitem__(slice(2, 4), [parts[3], parts[2]]))
    lines("a-short-hash", lambda parts: parts.__setitem__(2, base64.b64encode(bytes(31)).decode()))
    lines("a-hash-in-other-base64", lambda parts: parts.__setitem__(2, parts[2][:-2] + chr(ord(parts[2][-2]) + 1) + "="))
    lines("64-hashes", lambda parts: parts.__setitem__(slice(2, 3), [parts[2]] * 64))
    lines("unsigned", lambda parts: parts.__setitem__(-2, parts[-2][:-8] + "AAAAAAA="))
    lines("another-root", lambda parts: parts.__setitem__(-4, base64.b64encode(bytes(32)).decode()))
    put("without-its-key-change", entry, lambda v: v | {"key_changes": []})
    put("a-key-change-twice", entry, lambda v: v | {"key_changes": [change, change]})
    whole = {"entry": change["entry"], "proof": json.loads(prove_entry(reader, CHANGE, with_contents=False))["proof"]}
    put("a-key-change-that-ends-nothing", entry, lambda v: v | {"key_changes": [whole]})
    none = at(reader, 277, 278)
    put("a-key-change-that-is-none", entry, lambda v: v | {"key_changes": [{"entry": none.raw, "proof": none.tlog_proof}]})
    put("a-key-change-with-more", entry, lambda v: v | {"key_changes": [change | {"key": "x"}]})
    old = at(reader, 5, 12)
    put("under-a-key-that-was-ended", prove_entry(reader, 5, with_contents=False), lambda v: v | {"proof": old.tlog_proof})
    other = base64.b64encode(b"x = 2\n" * 400).decode()
    put("other-data", entry, lambda v: v["contents"]["message"].update(data=other))
    put("another-salt", entry, lambda v: v["contents"]["message"].update(salt=base64.b64encode(bytes(32)).decode()))
    put("a-short-salt", entry, lambda v: v["contents"]["message"].update(salt=""))
    put("content-under-another-name", entry, lambda v: v | {"contents": {"other": v["contents"]["message"]}})
    put("content-with-more", entry, lambda v: v["contents"]["message"].update(size=2400))
    put("content-said-to-be-sealed", entry, lambda v: v | {"contents": {"message": {"sealed": v["contents"]["message"]["data"]}}})
    put("sealed-bytes-changed", prove_entry(sealed, 2, with_contents=True), lambda v: v["contents"]["message"].update(sealed="AAAA"))
    found["another-ledgers"] = prove_entry(sealed, 1, with_contents=False)
    put("growth-a-hash-fewer", growth, lambda v: v["proof"].pop())
    put("growth-a-hash-more", growth, lambda v: v["proof"].append(v["proof"][0]))
    put("growth-127-hashes", growth, lambda v: v | {"proof": v["proof"][:1] * 127})
    put("growth-of-no-list", growth, lambda v: v | {"proof": "\n".join(v["proof"])})
    put("growth-from-another-root", growth, lambda v: v | {"old": v["old"].replace("\n12\n", "\n11\n")})
    put("growth-from-another-ledger", growth, lambda v: v | {"old": sealed.checkpoint_note()})
    put("growth-without-its-key-change", growth, lambda v: v | {"key_changes": []})
    early = format_growth_proof(reader.checkpoint_at(1), reader.checkpoint_at(12), reader.consistency_proof(1, 12), [])
    put("growth-backwards", early, lambda v: v | {"old": v["new"], "new": v["old"]})
    put("growth-of-nothing", early, lambda v: v | {"old": v["new"]})
    put("growth-without-hashes", early, lambda v: v | {"proof": []})
    ended = json.loads(early)
    put("growth-to-a-key-that-was-ended", growth, lambda v: v | {name: ended[name] for name in ("old", "new", "proof")})
    put("growth-with-an-entry", growth, lambda v: v | {"entry": change["entry"]})
    return found


def main() -> None:
    anna = parse_auditor_secret((HERE / "sealed-v1" / "anna.auditor").read_text())
    with tempfile.TemporaryDirectory() as folder:
        for name in ("ledger-v1", "sealed-v1"):
            shutil.copytree(HERE / name, Path(folder) / name)
        ledgers = (Path(folder) / name / "ledger.db" for name in ("ledger-v1", "sealed-v1"))
        golden, sealed = ledgers
        with LedgerReader.open(golden) as reader, LedgerReader.open(sealed) as closed, LedgerReader.open(sealed, auditors=[anna]) as opened:
            shown = good(reader, closed, opened)
            refused = bad(reader, closed)
    for kind, files in (("good", {name: text for name, (text, _) in shown.items()}), ("bad", refused)):
        (HERE / "proofs" / kind).mkdir(parents=True)
        for name, text in files.items():
            (HERE / "proofs" / kind / f"{name}.proof").write_text(text, encoding="utf-8")
    expected = {name: {"ledger": "ledger-v1"} | what for name, (_, what) in shown.items()}
    (HERE / "proofs" / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
