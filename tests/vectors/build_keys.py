"""
Makes `keys.json`: key files as they are kept, plain and under a passphrase, and what is in them. Run once, never again:

    python tests/vectors/build_keys.py

The keys are made for it and sign nothing.
"""

from __future__ import annotations

import json
from pathlib import Path

from jupyter_audit.ledger.auditors import PROTECTED, AuditorSecret
from jupyter_audit.ledger.keys import Signer
from jupyter_audit.ledger.note import format_verifier_key
from jupyter_audit.ledger.secretfile import lock_up

TARGET = Path(__file__).with_name("keys.json")
PASSPHRASE = "zwölf Zeichen \U0001f511"


def main() -> None:
    if TARGET.exists():
        raise SystemExit(f"{TARGET} is there already")
    signer = Signer.generate("jupyter-audit/0123456789abcdef")
    auditor = AuditorSecret.generate("anna@example.org")
    locked = f"{PROTECTED}{auditor.public.label}+{lock_up(auditor.text(), PASSPHRASE.encode())}\n"
    keys = [
        {
            "of": "ledger",
            "passphrase": PASSPHRASE,
            "protected": signer.protected_text(PASSPHRASE.encode()),
            "plain": signer.secret_text(),
            "public": format_verifier_key(signer.verifier),
        },
        {"of": "auditor", "passphrase": PASSPHRASE, "protected": locked, "plain": auditor.text(), "public": str(auditor.public)},
    ]
    TARGET.write_text(json.dumps(keys, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
