"""
Answers `%audit …`: does as the person whose connection it came over what the API would do for them, and says so in words.

The words of the cell are on disk before anything is done, and what is done is judged by the same rules, at the same pace
and with the same sentences as over REST. No kernel takes part. Must never approve, break a glass or revoke: a cell asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from jupyter_audit.access import inwords, rules
from jupyter_audit.access.grants import Grant, Request
from jupyter_audit.access.inwords import rules_in_words, under_a_grant
from jupyter_audit.access.policy import Policy
from jupyter_audit.access.profiles import DEFAULT_PROFILE, Profile
from jupyter_audit.access.views import request_view
from jupyter_audit.errors import AccessError, NotFoundError, RecordError, UsageError
from jupyter_audit.gate.clientmessage import ClientMessage
from jupyter_audit.gate.drafts import clean, contents_of
from jupyter_audit.gate.intents import MAGIC, VERBS, Intent, parse, verb_of
from jupyter_audit.gate.sessions import Session
from jupyter_audit.model import Actor, Content, Principal
from jupyter_audit.record import kinds
from jupyter_audit.server.web import Web

SHOWN_VERSION = 12
"""Characters of a version of rules that people are shown."""


@dataclass(frozen=True, slots=True)
class Asking:
    """One `%audit` cell: who asks, in which session (None: the kernel has none), and the number of its entry."""

    web: Web
    principal: Principal
    session: Session | None
    entry: int


async def answer(
    web: Web, message: ClientMessage, kernel_id: str, session: Session | None, principal: Principal, text: str
) -> str:
    """
    Put down that somebody wrote `%audit text`, do it, and return what they are told.

    Raises `AuditError` in words where it cannot be done: `RecordError` if it cannot be put down, `UsageError` if it is
    not written as it should be, `TooManyError`, and whatever the rules of access raise.
    """
    entry = await _put_down(web, message, kernel_id, session, principal, verb_of(text))
    intent = parse(text)
    if intent.acts:
        web.pace.take(principal.name)
    return await VERB_TO_ACT[intent.verb](Asking(web, principal, session, entry), intent)


async def _put_down(
    web: Web, message: ClientMessage, kernel_id: str, session: Session | None, principal: Principal, verb: str
) -> int:
    kind = kinds.CellAnswered(
        kernel_id=kernel_id,
        msg_id=clean(message.msg_id),
        channel=message.channel,
        cell=clean(str(message.metadata.get("cellId", ""))),
        verb=verb,
    )
    draft = kinds.draft(
        kind,
        actor=Actor.of(principal),
        grant=session.grant if session else None,
        session=session.id if session else None,
        contents=contents_of(message),
    )
    stored = asyncio.wrap_future(web.services.recorder.record(draft))
    seconds = web.services.settings.record_timeout_seconds
    try:
        return (await asyncio.wait_for(asyncio.shield(stored), seconds)).seq
    except TimeoutError as error:
        stored.add_done_callback(lambda done: done.exception())
        raise RecordError(
            f"Nothing was done: the ledger did not take it within {seconds:g} seconds.",
            advice="An admin finds the reason with `jupyter audit doctor`.",
        ) from error


# --- what each verb does --------------------------------------------------------------------------


async def _status(asking: Asking, _: Intent) -> str:
    web, name = asking.web, asking.principal.name
    now = web.now()
    services = web.services
    told: list[str] = []
    for grant in services.book.unended(now):
        if grant.principal == name:
            told += [*_grant_in_words(grant, services.policy, now), ""]
    for request in services.book.requests(now):
        if request.principal == name:
            told.append(_waiting(request, services.policy, now))
    if not told:
        told += ["You have no grant, and no request of yours waits for an answer.", *_how_to_ask(asking)]
    if asking.session is not None:
        bound = services.book.grant(asking.session.grant or "")
        told.append(_session_in_words(asking.session, bound, now))
    if services.recorder.failing_for() > 0:
        told.append("Recording fails now, so nothing runs. An admin finds the reason with `jupyter audit doctor`.")
    return "\n".join(told)


async def _request(asking: Asking, intent: Intent) -> str:
    access, principal, options = asking.web.services.access, asking.principal, intent.options
    profile = options.get("profile", DEFAULT_PROFILE)
    starts = rules.moment(options["starts"]) if "starts" in options else None
    made = await asking.web.act(
        lambda: access.request(
            principal,
            profile=profile,
            reason=_reason(intent),
            ticket=options.get("ticket", ""),
            minutes=intent.minutes,
            target=options.get("target", ""),
            starts=starts,
        )
    )
    return _asked(asking, made)


async def _extend(asking: Asking, intent: Intent) -> str:
    web, principal = asking.web, asking.principal
    grant = _own_grant(asking, intent.options.get("grant"))
    # Whoever says nothing else means what they said before.
    reason = _reason(intent) or f"More time for: {grant.reason}"
    access = web.services.access
    made = await web.act(lambda: access.extend(principal, grant.id, reason=reason, minutes=intent.minutes))
    return _asked(asking, made)


async def _withdraw(asking: Asking, intent: Intent) -> str:
    web, principal = asking.web, asking.principal
    now = web.now()
    mine = [request.id for request in web.services.book.requests(now) if request.principal == principal.name]
    if not intent.words and len(mine) != 1:
        raise UsageError(
            "No request of yours waits." if not mine else f"{len(mine)} requests of yours wait: {', '.join(mine)}.",
            advice=f"Write: {MAGIC} withdraw REQUEST" if mine else "",
        )
    request_id = intent.words[0] if intent.words else mine[0]
    access = web.services.access
    made = await web.act(lambda: access.withdraw(principal, request_id))
    return f"The request {made.id} is withdrawn."


async def _rules(asking: Asking, intent: Intent) -> str:
    web, name = asking.web, asking.principal.name
    web.now()
    profile = web.services.policy.profile(intent.text or DEFAULT_PROFILE)
    version = inwords.version(profile)
    known = web.services.book.acknowledged(name, profile.name, version)
    last = "You have acknowledged them." if known else (
        f"Acknowledge them once: {MAGIC} acknowledge {profile.name} {version[:SHOWN_VERSION]}"
    )  # fmt: skip
    head = f"The rules of {profile.name}, version {version[:SHOWN_VERSION]}:"
    return "\n".join([head, *(f"- {rule}" for rule in rules_in_words(profile)), last])


async def _acknowledge(asking: Asking, intent: Intent) -> str:
    if len(intent.words) != 2:
        raise UsageError("Which rules?", advice=f"Write: {MAGIC} acknowledge {VERBS['acknowledge'].usage}")
    access, principal = asking.web.services.access, asking.principal
    profile, version = intent.words
    told = await asking.web.act(lambda: access.acknowledge(principal, profile, version))
    return f"Acknowledged: the rules of {profile}, version {told[:SHOWN_VERSION]}."


async def _note(asking: Asking, intent: Intent) -> str:
    if not intent.words:
        raise UsageError("The note is empty.", advice=f"Write: {MAGIC} note {VERBS['note'].usage}")
    session, recorder = asking.session, asking.web.services.recorder
    draft = kinds.draft(
        kinds.NoteMade(asking.entry),
        actor=Actor.of(asking.principal),
        grant=session.grant if session else None,
        session=session.id if session else None,
        contents={"note": Content(rules.reason(intent.text, 1).encode())},
    )
    entry = await asking.web.act(lambda: recorder.record(draft).result())
    return f"Noted, as entry {entry.seq}."


async def _feedback(asking: Asking, intent: Intent) -> str:
    if not intent.words:
        raise UsageError("The feedback is empty.", advice=f"Write: {MAGIC} feedback {VERBS['feedback'].usage}")
    named = intent.options.get("about")
    if named is not None and not (named.isascii() and named.isdecimal() and len(named) < 16):
        raise UsageError("--about names no entry.", advice="It is the number of an entry of yours.")
    access, principal, session = asking.web.services.access, asking.principal, asking.session
    about = None if named is None else int(named)
    found = await asking.web.act(lambda: access.say(principal, intent.text, about, session.id if session else None))
    return "Recorded. Thank you." if found < 0 else f"Recorded, about entry {found}. Thank you."


async def _help(asking: Asking, _: Intent) -> str:
    width = max(len(f"{name} {verb.usage}") for name, verb in VERBS.items() if len(verb.usage) < 40)
    told = [f"{MAGIC} …, in a cell of its own, is answered by the server. It works without a grant too.", ""]
    for name, verb in VERBS.items():
        usage = f"{name} {verb.usage}".rstrip()
        told.append(f"  {MAGIC} {usage:<{width}}  {verb.meaning}" if len(usage) <= width else f"  {MAGIC} {usage}")
        if len(usage) > width:
            told.append(f"  {'':<{len(MAGIC) + 1 + width}}  {verb.meaning}")
    services = asking.web.services
    told += ["", "What always holds:", *(f"- {rule}" for rule in inwords.ALWAYS)]
    mine = [profile.name for profile in _holdable(services.policy, asking.principal)]
    if mine:
        told.append(f"The rules of each profile that you may ask for ({', '.join(mine)}): {MAGIC} rules PROFILE")
    told.append(f"The panel has the same and more: {services.panel}")
    return "\n".join(told)


VERB_TO_ACT: Mapping[str, Callable[[Asking, Intent], Awaitable[str]]] = {
    "status": _status,
    "request": _request,
    "extend": _extend,
    "withdraw": _withdraw,
    "rules": _rules,
    "acknowledge": _acknowledge,
    "note": _note,
    "feedback": _feedback,
    "help": _help,
}


# --- in words -------------------------------------------------------------------------------------


def _reason(intent: Intent) -> str:
    """Return the reason, however it was written. Raises `UsageError` if it was written twice."""
    named = intent.options.get("reason")
    if named is not None and intent.words:
        raise UsageError(
            f"What is {intent.text[:80]!r}, beside --reason?", advice="Write the reason once, with --reason or without."
        )
    return intent.text if named is None else named


def _own_grant(asking: Asking, named: str | None) -> Grant:
    """Return the grant to extend: the one that was named, or this session's, or the only one."""
    services, now = asking.web.services, asking.web.now()
    live = services.book.live(asking.principal.name, now)
    wanted = named or (asking.session.grant if asking.session is not None else None)
    found = [grant for grant in live if grant.id == wanted] if wanted else list(live)
    if not found and named is None:
        found = list(live)
    if len(found) == 1:
        return found[0]
    if not found:
        raise NotFoundError("You have no live grant to extend." if named is None else f"{named} is no live grant of yours.",
                            advice=f"Ask for a new one: {MAGIC} request {VERBS['request'].usage}")  # fmt: skip
    raise UsageError(
        f"You have several live grants: {', '.join(grant.id for grant in found)}.", advice="Name one with --grant."
    )


def _asked(asking: Asking, request: Request) -> str:
    web = asking.web
    return "\n".join([_waiting(request, web.services.policy, web.now()), f"{MAGIC} status says what became of it."])


def _waiting(request: Request, policy: Policy, now: datetime) -> str:
    row = request_view(request, now)
    what = f"more time under {request.extends}" if request.extends else f"{request.profile}, {row['minutes']} min"
    needed = request.approvals - len(request.endorsers)
    if policy.solo:
        who = "You answer it yourself, on purpose"
    else:
        who = "An approver answers it" if needed == 1 else f"{needed} approvers must say yes"
    where = f"in the panel or with `jupyter audit approve {request.id}`"
    return f"Request {request.id} ({what}, {request.ticket}) waits until {row['lapses'][11:16]} UTC. {who}, {where}."


def _grant_in_words(grant: Grant, policy: Policy, now: datetime) -> list[str]:
    profile = policy.profiles.get(grant.profile)
    target = f" for {grant.target}" if grant.target else ""
    if not grant.is_live(now):
        return [f"Grant {grant.id} of {grant.profile}{target} begins at {grant.not_before:%Y-%m-%d %H:%M} UTC."]
    left = int((grant.not_after - now).total_seconds())
    glass = " You broke the glass for it: somebody else reviews what you do." if grant.break_glass else ""
    told = [
        f"Grant {grant.id} of {grant.profile}{target}: {left // 60} min {left % 60:02} s left, until "
        f"{grant.not_after:%H:%M:%S} UTC.{glass}",
        f"For {grant.ticket}: {grant.reason}",
    ]
    return told if profile is None else [*told, *(f"- {rule}" for rule in under_a_grant(profile))]


def _session_in_words(session: Session, grant: Grant | None, now: datetime) -> str:
    """Return what a kernel's session is, with what became of the grant that it is bound to."""
    bound = "Its first cell will bind it to a grant."
    if session.grant:
        bound = f"It ends with the grant {session.grant}."
        if grant is None or not grant.is_live(now):
            bound = f"Its grant {session.grant} has ended: restart the kernel to work under another."
    watched = f" Watched by {', '.join(session.watched_by)}." if session.watched_by else ""
    fence = f"isolation {session.isolation.value}, network {session.network}"
    return f"This kernel's session is {session.id}, {fence}. {bound}{watched}"


def _how_to_ask(asking: Asking) -> list[str]:
    profiles = _holdable(asking.web.services.policy, asking.principal)
    rows = [(profile.name, f"{profile.default_minutes} min, up to {profile.longest_minutes}") for profile in profiles]
    return [
        f"Ask: {MAGIC} request {VERBS['request'].usage}",
        *(f"  {name}: {lasts}. Its rules: {MAGIC} rules {name}" for name, lasts in rows),
    ]


def _holdable(policy: Policy, principal: Principal) -> list[Profile]:
    """Return the profiles that somebody may ask for."""
    found = []
    for profile in policy.profiles.values():
        try:
            rules.may_ask(policy, principal, profile)
        except AccessError:
            continue
        found.append(profile)
    return found
