"""
A server extension that has kernels before the gate is there: it is loaded before jupyter_audit, by the order of names.

It asks the server for one, and starts another as any program may, which it puts among the server's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jupyter_server._tz import utcnow
from jupyter_server.services.kernels.kernelmanager import ServerKernelManager
from tornado import web

SMUGGLED = "00000000-0000-4000-8000-00000000ea51"


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "early"}]


async def have_kernels(kernels: Any) -> dict[str, str]:
    """Return the ids of the two kernels, or why there is none."""
    had = {"smuggled": SMUGGLED}
    try:
        had["asked"] = await kernels.start_kernel()
    except web.HTTPError as error:
        had["refused"] = str(error)
    kernel: Any = ServerKernelManager(kernel_name="python3", parent=kernels)
    await kernel.start_kernel()
    kernel.kernel_id, kernel.execution_state, kernel.last_activity, kernel.reason = SMUGGLED, "idle", utcnow(), ""
    kernels._kernels[SMUGGLED] = kernel
    kernels._kernel_connections[SMUGGLED] = 0
    kernels._kernel_ports[SMUGGLED] = kernel.ports
    had["connection_file"] = kernel.connection_file
    return had


def _load_jupyter_server_extension(app: Any) -> None:
    had = app.io_loop.run_sync(lambda: have_kernels(app.kernel_manager))
    (Path(app.root_dir) / "early.json").write_text(json.dumps(had))
