"""The evidence: an append-only, signed, Merkle-hashed log in one SQLite file. Knows nothing of Jupyter."""

from jupyter_audit.ledger.creation import create_ledger
from jupyter_audit.ledger.reader import LedgerReader
from jupyter_audit.ledger.report import LedgerReport
from jupyter_audit.ledger.verify import verify_ledger
from jupyter_audit.ledger.writer import Ledger, open_ledger

__all__ = ["Ledger", "LedgerReader", "LedgerReport", "create_ledger", "open_ledger", "verify_ledger"]
