"""
The REST API of signed approvals: what an approver's machine signs, and whose key is whose.

Thin, as `api`: the rules of access decide. What is to be signed goes out as the entry's own text, so that the approver's
machine hashes what it shows and need not believe this server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_audit.access.signing import Signed
from jupyter_audit.access.views import key_view
from jupyter_audit.errors import NotFoundError
from jupyter_audit.server.apibase import AuditApiHandler, authorized_to
from jupyter_audit.server.inputs import Field
from jupyter_audit.server.sight import sees_all

TEXT = Field(str)
TEXT_OR_NOTHING = Field(str, required=False)

SIGNED = {"statement": TEXT_OR_NOTHING, "signature": TEXT_OR_NOTHING}
"""The fields of an answer that its approver signed."""


def signed_of(given: Mapping[str, Any]) -> Signed:
    """Return what an approver signed, from the fields of a body."""
    return Signed(given["statement"] or "", given["signature"] or "")


class EntryToSignHandler(AuditApiHandler):
    """What is signed about a request."""

    @authorized_to("read")
    async def get(self, request_id: str) -> None:
        """Answer with the ledger's origin and the text of the request's entry."""
        self.query()
        principal = self.principal
        self.shared.now()
        request = self.services.book.request(request_id)
        if request is None or not (sees_all(principal) or request.principal == principal.name):
            raise NotFoundError(f"There is no request {request_id}.", advice="`jupyter audit requests` lists them.")
        seq = request.seq
        raw, origin = await self.shared.read(lambda reader: (reader.entry(seq).raw, reader.origin))
        if request.principal != principal.name:
            self.shared.note_read(principal, "requests")
        self.answer({"origin": origin, "me": principal.name, "entry": raw})


class ApproverKeysHandler(AuditApiHandler):
    """The keys and passkeys of approvers."""

    @authorized_to("read")
    async def get(self) -> None:
        """List every key that was ever registered, oldest first: they are public, and people must compare them."""
        self.query()
        self.shared.now()
        book = self.services.book
        self.answer({"origin": book.origin, "me": self.principal.name, "keys": [key_view(key) for key in book.keys]})

    @authorized_to("write")
    async def post(self) -> None:
        """Register a key of one's own."""
        given = self.body(key=TEXT, proof=TEXT, replaces=TEXT_OR_NOTHING, vouched=TEXT_OR_NOTHING)
        texts = {name: value or "" for name, value in given.items()}
        access, principal = self.services.access, self.principal
        self.answer(key_view(await self.act(lambda: access.register_key(principal, **texts))), 201)


class WithdrawKeyHandler(AuditApiHandler):
    """The end of a key or passkey."""

    @authorized_to("write")
    async def post(self) -> None:
        """Withdraw a key or passkey of one's own, or as an admin anybody's."""
        given = self.body(person=TEXT, reason=TEXT, signature=TEXT_OR_NOTHING, key=TEXT_OR_NOTHING)
        person, texts = given["person"], {name: given[name] or "" for name in ("reason", "signature", "key")}
        access, principal = self.services.access, self.principal
        self.answer(key_view(await self.act(lambda: access.withdraw_key(principal, person, **texts))))
