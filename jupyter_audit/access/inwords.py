"""
A profile's rules in plain words: what people read before they ask (and acknowledge, where it is demanded). Pure.

One sentence a rule, made from the profile alone; nothing is told that is not enforced. `version` names what was read.
"""

from __future__ import annotations

from jupyter_audit.access.guardrails import UNREADABLE, Guardrail, Mode
from jupyter_audit.access.policy import digest_of
from jupyter_audit.access.profiles import Profile
from jupyter_audit.access.terms import Rung

ALWAYS = (
    "Everything that you run is recorded before it runs, and so is what it puts out. Auditors read it.",
    "When the grant ends, your kernels and everything that they started end with it. Notebooks stay.",
)
"""What holds under every profile."""


def rules_in_words(profile: Profile) -> list[str]:
    """Return the rules of a profile, a sentence each."""
    always = (*ALWAYS, "Before you ask you acknowledge these rules, anew when they change.") if profile.acknowledge else ALWAYS
    told = [*always, *_asking(profile), *_answering(profile), *_lasting(profile), *_running(profile)]
    if profile.break_glass:
        told.append(
            f"In an emergency you may take access at once, for {profile.break_glass_minutes} minutes at most and "
            f"{profile.weekly_break_glass} times within seven days. Everybody is told, and somebody else reviews what you did."
        )
    return told


def under_a_grant(profile: Profile) -> list[str]:
    """Return the rules that hold for whoever has a grant of a profile, a sentence each."""
    return [*ALWAYS, *_lasting(profile)[1:], *_running(profile)]


def version(profile: Profile) -> str:
    """Return the digest of a profile's rules (SHA-256, hex): an acknowledgement is of one version of them."""
    return digest_of(profile.to_json())


def _asking(profile: Profile) -> list[str]:
    told = [f"A request needs a reason of at least {profile.shortest_reason} characters, which others will read."]
    if profile.ticket_pattern != r"\S+":
        told.append(f"It needs a ticket that matches {profile.ticket_pattern}.")
    else:
        told.append("It needs a ticket.")
    if profile.checks_tickets:
        told.append("The ticket must be open, and yours where the tracker names people: the tracker is asked.")
    if profile.ends_with_ticket:
        told.append("The grant ends when its ticket is closed.")
    if profile.recovery:
        told.append("It is for admins, to mend a server whose disk is full.")
    if profile.services:
        told.append("It is for services and AI agents, each on behalf of a person; that person cannot approve it.")
    if profile.requesters:
        told.append(f"Only {_list(profile.requesters)} may ask.")
    if profile.targets:
        told.append(f"It is for {_list(profile.targets)}, and the request says which.")
    return told


def _answering(profile: Profile) -> list[str]:
    who = _list(profile.approvers) if profile.approvers else "the approvers"
    if profile.approvals == 1:
        told = [f"One of {who} must say yes, within {_minutes(profile.request_waits_minutes)}."]
    else:
        told = [f"{profile.approvals} different people of {who} must say yes, within {_minutes(profile.request_waits_minutes)}."]
    if profile.signed_approvals:
        told.append("A yes counts only if its approver signed it with a key of their own.")
    told.append("You may say yes to your own request." if profile.self_approval else "Nobody says yes to their own request.")
    return told


def _lasting(profile: Profile) -> list[str]:
    told = [
        f"A grant lasts {_minutes(profile.default_minutes)}, or up to {_minutes(profile.longest_minutes)} if you ask for it."
    ]
    if profile.hours is not None:
        told.append(f"It runs within {profile.hours}, and ends with those hours.")
    if profile.extensions:
        told.append(f"It may be extended {_times(profile.extensions)}, each time by a new yes.")
    else:
        told.append("It is not extended.")
    if profile.weekly_hours:
        told.append(f"You have {profile.weekly_hours} hours of it within seven days.")
    if profile.weekly_extensions:
        told.append(f"You have {_times(profile.weekly_extensions)} of extension within seven days.")
    return told


def _running(profile: Profile) -> list[str]:
    told = []
    if profile.approves_cells:
        told.append(
            f"Each cell waits for a yes to that very code, for {_minutes(profile.cell_approval_minutes)}; nobody says it to "
            "their own cells. Completion, inspection, widgets, input() and the debugger are off."
        )
    if profile.idle_minutes:
        what = "A kernel or terminal" if profile.terminals else "A kernel"
        told.append(f"{what} that is idle for {_minutes(profile.idle_minutes)} is ended.")
    if profile.kernels:
        told.append(f"It covers these kernels: {_list(profile.kernels)}.")
    if profile.notebooks:
        told.append(f"It covers these notebooks: {', '.join(profile.notebooks)}. Kernels without one of them do not start.")
    told.append("It may open terminals, which are recorded as well." if profile.terminals else "It opens no terminal.")
    told += _guardrails(profile.guardrails)
    if profile.output is not None:
        kept = f"the first {profile.output} bytes of its text" if profile.output else "its size, kind and digest alone"
        told.append(f"Of each output the ledger keeps {kept}.")
    if not profile.network.open:
        reach = f"only {profile.network}" if profile.network.targets else "nothing of the network"
        told.append(f"Code reaches {reach}.")
    if profile.isolation is not Rung.NONE:
        told.append(f"Kernels run isolated, by {profile.isolation.value} or better.")
    return told


def _guardrails(guardrails: tuple[Guardrail, ...]) -> list[str]:
    """Return what is said of guardrails; a rule of each is told by its name, which docs/guardrails.md explains."""
    rules = [one for one in guardrails if one.name != UNREADABLE]
    told = []
    for mode, what in ((Mode.REFUSE, "is refused"), (Mode.WARN, "runs with a warning, and auditors are told")):
        if names := tuple(one.name for one in rules if one.mode is mode):
            told.append(f"Code is read before it runs; what breaks one of these guardrails {what}: {_list(names)}.")
    for one in guardrails:
        if one.name == UNREADABLE and rules:
            what = "is refused" if one.mode is Mode.REFUSE else "runs with a warning"
            told.append(f"Code that cannot be read (it does not parse, is too long, or uses an unknown magic) {what}.")
    return told


def _list(names: tuple[str, ...]) -> str:
    return ", ".join("everybody" if name == "*" else name.replace("group:", "the group ", 1) for name in names)


def _minutes(minutes: int) -> str:
    return "1 minute" if minutes == 1 else f"{minutes} minutes"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
