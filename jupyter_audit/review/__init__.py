"""What an auditor does: sessions, timelines and activity, read from a ledger that was verified first."""

from jupyter_audit.review.activity import (
    choose_step,
    count_activity,
    count_by_hour,
    count_by_principal,
    format_step,
)
from jupyter_audit.review.findings import list_findings, list_refusals
from jupyter_audit.review.sessions import list_sessions
from jupyter_audit.review.timeline import build_timeline, find_session, read_timeline
from jupyter_audit.review.verified import VerifiedReader, open_verified

__all__ = [
    "VerifiedReader",
    "build_timeline",
    "choose_step",
    "count_activity",
    "count_by_hour",
    "count_by_principal",
    "find_session",
    "format_step",
    "list_findings",
    "list_refusals",
    "list_sessions",
    "open_verified",
    "read_timeline",
]
