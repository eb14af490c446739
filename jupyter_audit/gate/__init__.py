"""May this message pass now? Message table, decision, permits, expiry, isolation."""
