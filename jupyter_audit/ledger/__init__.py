"""The evidence: an append-only, signed, Merkle-hashed log in one SQLite file. Knows nothing of Jupyter."""
