"""Many callers on one event loop, each waiting for its entry before the next; prints what was acknowledged, in that order."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from jupyter_audit.clock import SystemClock
from jupyter_audit.home import Home
from jupyter_audit.ledger import open_ledger
from jupyter_audit.model import Content, Draft
from jupyter_audit.record.recorder import Recorder


def main() -> None:
    home, process, callers, each = Home(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    recorder = Recorder(lambda: open_ledger(home, clock=SystemClock()))

    async def call(caller: int) -> None:
        for number in range(each):
            body = {"process": process, "caller": caller, "number": number}
            draft = Draft("cell.admitted", body, contents={"message": Content(f"print({number})".encode())})
            [entry] = await recorder.store([draft]).future
            print(json.dumps([entry.seq, process, caller, number]), flush=True)

    async def call_all() -> None:
        await asyncio.gather(*(call(caller) for caller in range(callers)))

    asyncio.run(call_all())
    recorder.close()


main()
