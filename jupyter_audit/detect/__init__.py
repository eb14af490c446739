"""Entries to findings: Sigma rules run over a view of the ledger."""
