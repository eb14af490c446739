"""
Stand-ins for the daemons that run things for whoever asks: the folders that `cron` and `at` read, and the sockets of the
system's bus, the session's, and the user's systemd. Whatever arrives there would be run, grant or no grant.

They are put up outside of every sandbox, in a mount namespace of the server's own, so that no machine's own daemons are
asked, and nothing is left in its folders. Only root can do that.
"""

from __future__ import annotations

import shlex
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import namespaces

PLACES = {"spool": "/var/spool", "cron.d": "/etc/cron.d", "run": "/run"}
"""Each stand-in's folder, and where the server and its kernels see it."""

FOLDERS = {"spool/cron/crontabs": 0o1730, "spool/cron/atjobs": 0o1770, "cron.d": 0o755, "run/dbus": 0o755, "run/user/0": 0o700,
           "run/user/0/systemd": 0o700}
"""With the modes that daemons' packages give them; `run/user/0` is the account's that the server runs as, which is root here."""

SOCKETS = {"run/dbus/system_bus_socket": 0o666, "run/user/0/bus": 0o600, "run/user/0/systemd/private": 0o600}


def failure() -> str:
    """Return why there are no stand-ins on this machine; nothing if there can be."""
    missing = [place for place in PLACES.values() if not Path(place).is_dir()]
    return namespaces.failure() or (f"there is no {missing[0]} here to put a stand-in on" if missing else "")


@contextmanager
def put_up(system: Path) -> Iterator[list[str]]:
    """Put the stand-ins up in the folder `system`; yield the commands by which a mount namespace comes to have them."""
    for folder, mode in FOLDERS.items():
        (system / folder).mkdir(parents=True, exist_ok=True)
        (system / folder).chmod(mode)
    with ExitStack() as held:
        for name, mode in SOCKETS.items():
            listener = held.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(str(system / name))
            (system / name).chmod(mode)
            listener.listen(16)
            threading.Thread(target=_answer, args=(listener, system / f"{name}.asked"), daemon=True).start()
            held.callback(listener.shutdown, socket.SHUT_RDWR)
        yield [f"mount --bind {shlex.quote(str(system / folder))} {place}" for folder, place in PLACES.items()]


def _answer(listener: socket.socket, asked: Path) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            if connection.recv(9) == b"run":
                asked.touch()
                connection.sendall(b"done")
