"""The only door to the writer of the ledger: what entries say, and the recorder that makes them durable."""
