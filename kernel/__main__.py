"""`python -I -m jupyter_audit_kernel -f CONNECTION_FILE`: start an audit kernel."""

from jupyter_audit_kernel.app import main

main()
