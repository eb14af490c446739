"""
May a kernel start for this notebook? Pure, as `fences`, and for the same reason: it starts before its first cell.

The gate judges each message again, by what the kernel is used for then (`Cause.NOTEBOOK_NOT_COVERED`).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

from jupyter_audit.access.grants import Grant
from jupyter_audit.access.profiles import Profile
from jupyter_audit.errors import GateError
from jupyter_audit.gate.decide import told_notebook


class NotebookError(GateError):
    """No grant that could be used is for this notebook."""

    code = "notebook_not_covered"


def check_may_open(
    kernel_name: str, notebook: str, live: Iterable[Grant], profiles: Mapping[str, Profile], outside: Container[str]
) -> None:
    """
    Raise `NotebookError` unless a grant of the `live` ones for this kernel is for the notebook.

    Without any such grant there must be a profile for both, under which one could be asked for. `outside` are the
    profiles that are for other notebooks.
    """
    fitting = {name: one for name, one in profiles.items() if not one.kernels or kernel_name in one.kernels}
    held = [grant.profile for grant in live if grant.profile in fitting]
    # A recovery is for a full disk, not for work in whatever notebook no other profile is for.
    wanted = held or [name for name, profile in fitting.items() if not profile.recovery]
    if not wanted or any(name not in outside for name in wanted):
        return
    whose = f"Your grant of the profile {held[0]!r} is" if held else "Every profile is"
    patterns = ", ".join(dict.fromkeys(pattern for name in wanted for pattern in fitting[name].notebooks))
    raise NotebookError(
        f"No kernel starts for {told_notebook(notebook)}: {whose} for certain notebooks, and that is none of them.",
        advice=f"Open one of: {patterns}. Or ask for a grant of another profile.",
    )
