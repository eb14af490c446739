"""What several folders of tests use: a real audited server, and a client that speaks both wire protocols."""
