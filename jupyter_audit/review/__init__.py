"""What an auditor does: sessions, timelines and activity, read from a ledger that was verified first."""
