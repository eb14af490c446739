"""The witness: a small server on another machine that cosigns what a ledger says of itself, as long as it only grows."""
