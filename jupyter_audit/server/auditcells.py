"""
Cells that ask the server with `%audit`: told from cells for the kernel, and answered in the kernel's place.

What is done then, and in which words it is told, is `asking`'s.
"""

from __future__ import annotations

from typing import Any

from jupyter_audit.errors import AuditError
from jupyter_audit.gate import intents
from jupyter_audit.gate.clientmessage import ClientMessage
from jupyter_audit.gate.messages import MESSAGES
from jupyter_audit.gate.sessions import Session
from jupyter_audit.model import Principal
from jupyter_audit.server import asking
from jupyter_audit.server.telling import Teller
from jupyter_audit.server.web import Web


def asked_in(message: ClientMessage, session: Session | None) -> str | None:
    """Return what a cell asks the server with `%audit`; None for any other message, which the gate judges."""
    if message.msg_type != "execute_request" or message.channel not in MESSAGES["execute_request"].channels:
        return None
    if session is not None and session.capture.knows(message.msg_id):
        return None  # the gate says that the id was used before
    return intents.said(message.content)


async def answer_cell(
    tell: Teller,
    web: Web,
    message: ClientMessage,
    kernel_id: str,
    session: Session | None,
    principal: Principal,
    asked: str,
) -> bool:
    """Do what was asked and answer as a kernel answers a cell that does not count; return whether it could be done."""
    parent, silent = message.header, bool(message.content.get("silent"))
    # Not 0: JupyterLab takes that for no answer, and shows the cell as running for ever.
    count = max(1, session.counted) if session is not None else 1
    reply: dict[str, Any] = {"execution_count": count, "user_expressions": {}, "payload": []}
    tell.state("busy", parent)
    if not silent:
        tell.write("iopub", "execute_input", {"code": message.content["code"], "execution_count": count}, parent)
    try:
        told = await asking.answer(web, message, kernel_id, session, principal, asked)
    except AuditError as error:
        name, sentence = type(error).__name__, web.services.hinting(error.explain())
        if not silent:
            tell.error(name, sentence, parent)
        reply |= {"status": "error", "ename": name, "evalue": sentence, "traceback": []}
    else:
        if not silent:
            tell.printed("stdout", f"{told}\n", parent)
        reply["status"] = "ok"
    tell.write(message.channel, "execute_reply", reply, parent)
    tell.state("idle", parent)
    return bool(reply["status"] == "ok")
