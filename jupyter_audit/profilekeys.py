"""
What an admin may say of a profile: for each key its default and what it means. Words only, at the bottom of all layers.

The help of `c.JupyterAudit.profiles` and docs/configuration.md are made from this table; the check of each key stands
in `access/profiles.py` (`PROFILE_KEYS`), and a test holds that both name the same keys and the same defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KeyHelp:
    """One key: its default, as an admin would write it, and what it means."""

    default: str
    help: str


PROFILE_HELP: Mapping[str, KeyHelp] = {
    "default_minutes": KeyHelp("30", "How long a grant lasts for which nobody says how long. At most longest_minutes."),
    "longest_minutes": KeyHelp("480", "How long a grant may last, extensions included. 15 for a recovery profile."),
    "request_waits_minutes": KeyHelp("60", "How long a request waits for an answer before it lapses."),
    "shortest_reason": KeyHelp("10", "Characters that a reason must have."),
    "ticket_pattern": KeyHelp(r"'\\S+'", "A regular expression that the whole ticket must match."),
    "self_approval": KeyHelp("False", "Approvers may approve their own requests. The ledger says so of each."),
    "kernels": KeyHelp("[]", "The kernelspecs that a grant covers. Empty: every allowed one."),
    "notebooks": KeyHelp(
        "[]", "The notebooks that a grant covers: patterns of paths below the server's root, such as 'shop/**' "
        "(docs/access.md). Empty: all, and kernels without one."
    ),
    "recovery": KeyHelp("False", "For admins, on a disk that is full: its sessions go on where others must stop."),
    "services": KeyHelp("False", "For services and AI agents alone, not for people; an hour at most (docs/people.md)."),
    "terminals": KeyHelp("False", "A grant may open terminals."),
    "isolation": KeyHelp("'none'", "The lowest isolation rung that will do."),
    "network": KeyHelp("'open'", "What of the network its kernels and terminals may use: 'open', 'none', or ['host:port', …]."),
    "targets": KeyHelp("[]", "What may be debugged: a request names one of these. Empty: whatever the request says."),
    "requesters": KeyHelp("[]", "Who may ask: names and group:NAME. They need the role engineer too. Empty: every engineer."),
    "approvers": KeyHelp("[]", "Who may say yes: names and group:NAME. They need the role approver too. Empty: every approver."),
    "approvals": KeyHelp("1", "How many different people must say yes."),
    "signed_approvals": KeyHelp(
        "False",
        "Whether only a yes counts that its approver signed with a key or passkey of their own (docs/signed-approvals.md).",
    ),
    "hours": KeyHelp("None", "When grants may run, such as 'Mon-Fri 08:00-18:00 Europe/Berlin'. A grant ends with them. "
                             "None: at all times."),
    "extensions": KeyHelp("2", "How often one grant may be given more time."),
    "advance_days": KeyHelp("7", "How many days ahead a grant may be asked for that begins later."),
    "break_glass": KeyHelp("False", "Access may be taken at once in an emergency: everybody is told, somebody else reviews it."),
    "break_glass_minutes": KeyHelp("15", "How long a broken glass lasts, at most."),
    "weekly_hours": KeyHelp("0", "Hours that one person may have within seven days. 0: any number."),
    "weekly_extensions": KeyHelp("0", "Extensions that one person may have within seven days. 0: any number."),
    "weekly_break_glass": KeyHelp("2", "How often one person may break a glass within seven days."),
    "ticket_command": KeyHelp("[]", "A command that says whether a ticket is open: ['/full/path', '{ticket}', '{user}']. Each is "
                                    "one argument, no shell. See docs/policy.md."),
    "ticket_url": KeyHelp("''", "The same over HTTP: 'https://tracker/api/{ticket}', answered with JSON {\"open\": true, "
                                "\"people\": [names]}. Without an answer nothing is requested or approved."),
    "ticket_token_file": KeyHelp("''", "A file with a token that goes to ticket_url as `Authorization: Bearer`."),
    "ticket_seconds": KeyHelp("60", "How long a ticket counts as open once the tracker said so, in seconds."),
    "ticket_timeout_seconds": KeyHelp("5", "How long the tracker may take to answer, in seconds."),
    "ends_with_ticket": KeyHelp("False", "A grant is revoked once its ticket is closed, or no longer its holder's."),
    "ticket_grace_minutes": KeyHelp("15", "How long such a grant goes on while the tracker does not answer."),
    "acknowledge": KeyHelp("False", "Whoever asks must have acknowledged the rules, as they are now (`jupyter audit rules`)."),
    "idle_minutes": KeyHelp("0", "A kernel to which nothing was sent, and in which no cell ran, for so long is ended; so is "
                                 "a terminal in which nothing was typed or shown. 0: none is."),
    "guardrails": KeyHelp("[]", "What code may not contain, judged before it runs: ['no_shell', …], or {'no_shell': 'refuse', "
                                "'no_network': 'warn'}. See docs/guardrails.md."),
    "cell_approval": KeyHelp(
        "'none'", "'each': every cell waits for an approver's yes to that very code, and nothing else that runs code is passed "
        "on (docs/access.md)."
    ),
    "cell_approval_minutes": KeyHelp("15", "How long a cell waits for that yes."),
    "output": KeyHelp("None", "How much of each output's text the ledger keeps: {'preview_bytes': 2048}, or 'digest': size, kind "
                              "and keyed digest alone. None: as much as c.JupyterAudit.preview_bytes says. Not of terminals."),
}  # fmt: skip


def profile_help() -> str:
    """Return the table as one paragraph, for the help of the setting."""
    return " ".join(f"{key} ({item.default}): {item.help}" for key, item in PROFILE_HELP.items())
