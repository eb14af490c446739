"""
Log-in by the people file: a name and a password in the browser, a token for programs (P2, P9).

Whether somebody is not there, has no password, or typed a wrong one makes no difference: not in what is answered, and
not in how long it takes. Attempts that failed are limited for each name and address. Cookies hold a stamp that changes
with the password, so a cookie of somebody who was removed, or got another, is void at once. While the people file is
not what the ledger says, nobody is let in.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import unicodedata
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from weakref import WeakKeyDictionary

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.auth.identity import IdentityProvider, User
from jupyter_server.auth.login import LoginFormHandler
from jupyter_server.utils import url_path_join
from tornado import web
from tornado.ioloop import PeriodicCallback
from tornado.websocket import WebSocketHandler
from traitlets import List, default

from jupyter_audit.access.leavers import Known
from jupyter_audit.access.people import People, Person, PersonKind, matches, split_token
from jupyter_audit.access.peoplefile import PeopleWatch, people_known
from jupyter_audit.errors import AuditError
from jupyter_audit.server import problems
from jupyter_audit.server.attempts import Attempts, TooManyAttemptsError
from jupyter_audit.server.panel import AuditPage
from jupyter_audit.server.services import find_services

WRONG = "That name and password do not belong together."
MOST_WAITING = 16
"""Log-ins that wait to be looked at: each takes 50 ms and 64 MiB, one at a time."""

MOST_KNOWN_TOKENS = 1024

RECALLED_EVERY_S = 1.0
CLOSED_BY_POLICY = 1008
"""RFC 6455, section 7.4.1."""


@dataclass
class PersonUser(User):
    """A user as the people file has them."""

    groups: tuple[str, ...] = ()
    on_behalf_of: str = ""


def user_of(person: Person) -> PersonUser:
    """Return Jupyter's user for somebody in the people file."""
    name = person.name
    shown = f"{name} (for {person.on_behalf_of})" if person.kind is PersonKind.SERVICE else name
    return PersonUser(
        username=name,
        name=name,
        display_name=shown,
        initials=name[:2].upper(),
        groups=person.groups,
        on_behalf_of=person.on_behalf_of,
    )


class PeopleIdentityProvider(IdentityProvider):
    """Tells people apart by the people file in the audit home (`jupyter audit people`)."""

    updatable_fields: List[Any] = List([], read_only=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._watch: PeopleWatch | None = None
        self._attempts = Attempts()
        # One thread: a hash takes 64 MiB, and who waits for one must not hold up anybody's cells.
        self._hashing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="log-in")
        self._waiting = 0
        self._known: OrderedDict[bytes, str] = OrderedDict()
        # A websocket asks who is there once, when it opens; this asks for it as long as it is open.
        self._sockets: WeakKeyDictionary[WebSocketHandler, Person] = WeakKeyDictionary()
        self._recall = PeriodicCallback(self._close_changed, RECALLED_EVERY_S * 1000)

    @default("token")
    def _token_default(self) -> str:
        return ""

    @default("need_token")
    def _need_token_default(self) -> bool:
        return False

    @default("login_handler_class")
    def _login_handler_class_default(self) -> type:
        return PeopleLoginHandler

    @property
    def auth_enabled(self) -> bool:
        """Always: who is nobody does not enter."""
        return True

    def people(self) -> People:
        """Return the people in force: nobody while the extension has not loaded, or the file cannot be believed."""
        try:
            return self._current() or People()
        except AuditError as error:
            self.log.error("Nobody can log in: %s", error.explain())
            return People()

    def _current(self) -> People | None:
        """Return the people in force, or None while the extension has not loaded. Raises as `load_people` does."""
        services = find_services(self.parent.web_app.settings) if self.parent is not None else None
        if services is None:
            return None
        if self._watch is None:
            self._watch = PeopleWatch(services.home)
        return self._watch.current(services.reader)

    def known_people(self) -> Known | None:
        """Return everybody there is; None while nobody can say: then nobody's access ends for that they are not there."""
        try:
            people = self._current()
        except AuditError:
            return None
        return None if people is None else people_known(people)

    # --- who asks ---------------------------------------------------------------------------------

    async def get_user(self, handler: web.RequestHandler) -> User | None:
        """Return who asks, by their token or cookie."""
        user = await super()._get_user(handler)
        person = self.people().by_name.get(user.username) if user is not None else None
        if isinstance(handler, WebSocketHandler) and person is not None:
            self._sockets[handler] = person
            if not self._recall.is_running():
                self._recall.start()
        return user if person is not None else None

    def _close_changed(self) -> None:
        """Close the websockets of people who are no longer as they were; who still may opens another."""
        now = self.people().by_name
        for handler, person in list(self._sockets.items()):
            if now.get(person.name) != person:
                handler.close(CLOSED_BY_POLICY, "What this server knows of you has changed. Log in again.")
                del self._sockets[handler]
        if not self._sockets:
            self._recall.stop()

    # --- tokens -----------------------------------------------------------------------------------

    async def get_user_token(self, handler: web.RequestHandler) -> User | None:
        """
        Return whose token came with a request, if anybody's.

        Raises `tornado.web.Finish` with an answer of status 429 if too many attempts have failed.
        """
        token = self.get_token(handler)
        if not token:
            return None
        token_id, secret = split_token(token)
        person = self.people().of_token_id(token_id)
        kept = person.token if person is not None else ""
        # A token that was right once is right as long as the file has the same hash of it.
        fingerprint = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._known.get(fingerprint, "")
        if person is not None and known and hmac.compare_digest(known.encode(), kept.encode()):
            return user_of(person)
        try:
            right = await self._is_right(kept, secret, name=f"token {token_id}", address=_address_of(handler))
        except TooManyAttemptsError as error:
            _answer_too_many(handler, error)
            raise web.Finish from error
        # It may have been taken away while it was looked at.
        person = self.people().of_token_id(token_id)
        if not right or person is None or person.token != kept:
            return None
        self._known[fingerprint] = kept
        while len(self._known) > MOST_KNOWN_TOKENS:
            self._known.popitem(last=False)
        return user_of(person)

    # --- passwords --------------------------------------------------------------------------------

    async def log_in(self, name: str, password: str, address: str) -> User | None:
        """Return who logs in with a name and a password, if they belong together. Raises `TooManyAttemptsError`."""
        # Keyboards differ in how they spell an accent; the file has one spelling.
        name = unicodedata.normalize("NFC", name)
        kept = self._password_of(name)
        right = await self._is_right(kept, password, name=name, address=address)
        person = self.people().by_name.get(name)
        return user_of(person) if right and person is not None and person.password == kept else None

    def process_login_form(self, handler: web.RequestHandler) -> User | None:
        """Return nobody: only our own form, which limits attempts, logs anybody in."""
        return None

    def _password_of(self, name: str) -> str:
        person = self.people().by_name.get(name)
        return person.password if person is not None else ""

    async def _is_right(self, kept: str, secret: str, *, name: str, address: str) -> bool:
        """Say whether a secret is what was kept, as one attempt. Raises `TooManyAttemptsError`."""
        if self._waiting >= MOST_WAITING:
            raise TooManyAttemptsError(5)
        self._attempts.begin(name, address)
        self._waiting += 1
        try:
            right = await asyncio.get_running_loop().run_in_executor(self._hashing, matches, kept, secret)
        finally:
            self._waiting -= 1
        if right:
            self._attempts.succeeded(name, address)
        return right

    # --- cookies ----------------------------------------------------------------------------------

    def user_to_cookie(self, user: User) -> str:
        """Return what a cookie holds: the name, and the stamp of what they logged in with."""
        person = self.people().by_name.get(user.username)
        return json.dumps({"username": user.username, "stamp": person.stamp if person is not None else ""})

    def user_from_cookie(self, cookie_value: str) -> User | None:
        """Return whom a cookie names, as long as they are there and log in with the same."""
        said = json.loads(cookie_value)
        person = self.people().by_name.get(said["username"])
        if person is None or not person.stamp or not hmac.compare_digest(person.stamp, str(said["stamp"])):
            return None
        return user_of(person)


class PeopleLoginHandler(LoginFormHandler, AuditPage):
    """The log-in form: a name and a password."""

    @property
    def content_security_policy(self) -> str:
        """Allow what the panel allows, and that the form is sent here."""
        return super().content_security_policy.replace("form-action 'none'", "form-action 'self'")

    @allow_unauthenticated
    async def post(self) -> None:
        """Log somebody in."""
        provider = self.identity_provider
        if not isinstance(provider, PeopleIdentityProvider):
            raise web.HTTPError(404)
        name = self.get_body_argument("username", default="")
        password = self.get_body_argument("password", default="", strip=False)
        try:
            user = await provider.log_in(name, password, _address_of(self))
        except TooManyAttemptsError as error:
            self.set_status(error.http_status)
            self.set_header("Retry-After", str(error.retry_after))
            self._render(message={"error": str(error)})
            return
        if user is None:
            self.set_status(HTTPStatus.UNAUTHORIZED)
            self._render(message={"error": WRONG})
            return
        self.current_user = user
        provider.set_login_cookie(self, user)
        self._redirect_safe(self.get_argument("next", default=self.base_url))  # type: ignore[no-untyped-call]

    def _render(self, message: dict[str, str] | None = None) -> None:
        """Show the form."""
        page = self._templates.get_template("login.html")
        told = (message or {}).get("error", "")
        self.write(
            page.render(
                login=url_path_join(self.base_url, "login"),
                next=self.get_argument("next", default=self.base_url),
                told=told,
                **self.addresses(),
            )
        )


def _address_of(handler: web.RequestHandler) -> str:
    return str(handler.request.remote_ip or "")


def _answer_too_many(handler: web.RequestHandler, error: TooManyAttemptsError) -> None:
    handler.set_status(error.http_status)
    handler.set_header("Retry-After", str(error.retry_after))
    handler.set_header("Content-Type", problems.MEDIA_TYPE)
    handler.write(json.dumps(problems.problem_of(error, error.http_status, known_user=False)))
