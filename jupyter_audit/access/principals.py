"""
Who acts: the account of the operating system, or the user that Jupyter's IdentityProvider names.

In solo mode and on the command line the principal is the account of the operating system, never the
anonymous name that Jupyter makes up for a token: a grant is bound to somebody who can be found.
"""

from __future__ import annotations

import os
import pwd
import unicodedata

from jupyter_audit.model import Principal, Role

OS_ACCOUNT = "os-account"
ALL_ROLES = frozenset(Role)


def os_account(roles: frozenset[Role] = ALL_ROLES) -> Principal:
    """Return the account that this process runs as. It holds every role unless `roles` says otherwise."""
    uid = os.geteuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        # Containers run under ids that no account database knows; the number is still somebody.
        name = f"uid-{uid}"
    return Principal(name=name, vouched_by=OS_ACCOUNT, roles=roles)


def same_person(one: str, other: str) -> bool:
    """
    Say whether two names must be taken for one person where nobody may answer for themselves.

    Directories log people in under any spelling of their name (`Ada`, `ada`, composed or decomposed accents)
    and pass that spelling on, so a difference in spelling alone makes no second person.
    """
    return person_key(one) == person_key(other)


def person_key(name: str) -> str:
    """Return what all spellings of one person's name have in common."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).strip()
