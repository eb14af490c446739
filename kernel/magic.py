"""
`%audit` inside the kernel: it says that it does nothing here.

Code in a kernel is not trusted and acts for nobody. What a person asks of the server stands alone in a cell; then it
never gets here, since the server answers it.
"""

from __future__ import annotations

from typing import Any

ADVICE = (
    "%audit works as the only line of a cell that you run yourself: then the server answers it, outside of this kernel. "
    "Code asks for nothing on your behalf. `%audit help`, in a cell of its own, lists what there is."
)


def audit(line: str, cell: str | None = None) -> None:
    """Say how `%audit` is used: as the only line of a cell, which the server answers. Nothing was done."""
    del line, cell
    print(ADVICE)  # noqa: T201 (what a magic says, it prints)


def register(shell: Any) -> None:
    """Add `%audit` and `%%audit` to an IPython shell."""
    shell.register_magic_function(audit, "line_cell", "audit")
