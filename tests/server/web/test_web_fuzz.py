"""
What openapi.yaml promises, tried by schemathesis on a running server: whatever is sent, answers are as described.

Each operation is tried as an engineer, as an approver and as an admin. Ids that could be real are made so, so that more
than "no such thing" answers. The examples are the same in each run.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import checks
from support.servers import AuditedServer
from web_house import TOKENS, Person, description, hold_cell

from jupyter_audit.server.api_access import GRANT_ID, REQUEST_ID
from jupyter_audit.server.api_cells import HOLD_ID

# Who asks is told by the tests' own tokens.
API = schemathesis.openapi.from_dict({name: part for name, part in description().items() if name != "security"})
EXAMPLES = 4

CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
]
"""Not that what fits the description is taken: the rules of access have more to say than a schema can."""


@pytest.fixture(scope="module")
def known(house: AuditedServer) -> dict[str, str]:
    """A request that waits, a live grant and a held cell, until the first example that answers or ends them."""
    erin = Person(house, "erin")
    grant = Person(house, "ana").post(f"requests/{erin.request_access()}/approve")["id"]
    asked = erin.post("requests", profile="each-cell", reason="orders are charged twice", ticket="SHOP-1")["id"]
    hold = hold_cell(house, Person(house, "ana").post(f"requests/{asked}/approve")["id"])
    return {"request": erin.request_access(), "grant": grant, "hold": hold}


@pytest.mark.parametrize("name", ["erin", "ana", "adam"])
@API.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_is_sent_the_answer_is_as_described(
    case: Any, house: AuditedServer, known: dict[str, str], name: str
) -> None:
    for parameter, pattern in (("request", REQUEST_ID), ("grant", GRANT_ID), ("hold", HOLD_ID)):
        if re.fullmatch(pattern, str((case.path_parameters or {}).get(parameter, ""))):
            case.path_parameters[parameter] = known[parameter]
    case.call_and_validate(
        base_url=f"{house.url}/audit/api/v1",
        headers={"Authorization": f"token {TOKENS[name]}"},
        checks=CHECKS,
        timeout=60,
    )
