"""
Fixtures for every test. What a folder of tests alone needs stands in that folder's own conftest.py.

- `no_audit_environment` (autouse): no test sees the audit home of the account that runs it.
- `browser_path`: a Chromium-like browser, or a reason why the browser tests cannot run.

Hypothesis tries the same examples in each run (profile `suite`), so that a red test is red for everybody; `make soak` looks for
new ones (profile `soak`). Neither has deadlines: a loaded machine is no defect.
"""

from __future__ import annotations

import os
import shutil

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("suite", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("soak", derandomize=False, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")


@pytest.fixture(autouse=True)
def no_audit_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JUPYTER_AUDIT_HOME", "JUPYTER_AUDIT_TOKEN", "JUPYTER_AUDIT_LEDGER", "JUPYTER_AUDIT_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def browser_path() -> str:
    """The path of a browser that playwright can drive."""
    for name in BROWSERS:
        found = shutil.which(name)
        if found:
            return found
    reason = f"No browser found (looked for {', '.join(BROWSERS)}). Install one to run the browser tests."
    if os.environ.get("JUPYTER_AUDIT_REQUIRE_BROWSER"):
        pytest.fail(reason)
    pytest.skip(reason)
