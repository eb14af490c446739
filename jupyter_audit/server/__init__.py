"""The thin adapter to Jupyter Server: launcher, authorizer, connection, managers, handlers."""
