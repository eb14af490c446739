"""
Who the current request acts for.

Jupyter's kernel manager is not told who asks for a kernel. The Authorizer, which every kernel route asks
first and in the same asyncio task, notes the principal here; a kernel that nobody is seen to ask for does
not start.
"""

from __future__ import annotations

from contextvars import ContextVar

from jupyter_audit.model import Principal

acting_principal: ContextVar[Principal | None] = ContextVar("jupyter_audit_acting_principal", default=None)
