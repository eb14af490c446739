"""What a notebook may name as its exporter: any module that the server can import."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nbconvert.exporters import PythonExporter


class MarkExporter(PythonExporter):  # type: ignore[misc]
    """Leaves a mark where the notebook says."""

    def from_notebook_node(self, nb: Any, resources: Any = None, **kw: Any) -> Any:
        Path(nb.metadata["mark"]).touch()
        return super().from_notebook_node(nb, resources, **kw)
