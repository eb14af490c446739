"""What `jupyter audit doctor` looks at where a server is installed: isolation, kernels, and one that runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jupyter_audit.access.profiles import Profile
from jupyter_audit.access.terms import Rung
from jupyter_audit.cli.context import Context
from jupyter_audit.cli.remote import find_server
from jupyter_audit.errors import AuditError, ConfigError, ServerUnreachableError

EXTENSION_FILE = Path("jupyter_server_config.d") / "jupyter_audit.json"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: `level` is ok, warn or fail; `advice` is what to do."""

    level: str
    check: str
    result: str
    advice: str = ""


def check_server(context: Context) -> Iterator[Finding]:
    """Look at everything that only a server needs. Jupyter's own packages must be installed."""
    yield from _isolation(context)
    yield from _tasks(context)
    yield from _guardrails(context)
    yield from _kernels(context)
    yield from _extension()
    yield from _running(context)


def _isolation(context: Context) -> Iterator[Finding]:
    # Imported here: an environment with a kernel alone has no server to isolate kernels from.
    from jupyter_audit.gate.isolation import probe

    settings = context.settings
    try:
        report = probe(settings.isolation, settings.kernel_account)
    except ConfigError as error:
        yield Finding("fail", "isolation", str(error), error.advice)
        return
    level = "warn" if report.rung is Rung.NONE or report.advice else "ok"
    yield Finding(level, "isolation", f"{report.rung.value}: {report.why}", report.advice)
    for missing in report.missing:
        # An account of its own is no gain to whom a sandbox fences in, so it is not asked for above one.
        yield Finding("warn", f"isolation {missing.rung.value}", f"not here: {missing.why}", missing.advice)
    for name, profile in sorted(context.policy.profiles.items()):
        yield from _profile(name, profile, report.rung)


def _profile(name: str, profile: Profile, rung: Rung) -> Iterator[Finding]:
    """Say what keeps a profile's sessions to its network, or that they cannot start."""
    from jupyter_audit.gate import seccomp
    from jupyter_audit.gate.network import IsolationError, enforcement

    if rung.height < profile.isolation.height:
        told = f"demands the rung {profile.isolation.value}, so none of its sessions starts"
        yield Finding("fail", f"profile {name}", told, "Install what that rung needs, or change the profile.")
        return
    try:
        by = enforcement(profile.network, rung, can_filter=seccomp.available())
    except IsolationError as error:
        yield Finding("fail", f"profile {name}", str(error), error.advice)
        return
    yield Finding("ok", f"profile {name}", f"network {profile.network}{f' ({by})' if by else ''}")


def _tasks(context: Context) -> Iterator[Finding]:
    """Look at the limits of the server that runs; of this command's surroundings, if none does."""
    from jupyter_audit.gate.pids import machine_limit, most_processes

    try:
        pid = json.loads((context.home.run / "server.json").read_text(encoding="utf-8"))["pid"]
        who, limit = "the running server", most_processes(int(pid))
    except (OSError, ValueError, KeyError, TypeError):
        who, limit = "this command, and a server that is started like it,", most_processes()
    yield from _processes(limit, machine_limit(), who)


def _processes(limit: int | None, machine: int | None, who: str) -> Iterator[Finding]:
    """Say whether code in a cell can use up the machine's processes; nothing where the system does not tell how many it has."""
    if machine is None:
        return
    if limit is not None and limit < machine:
        yield Finding("ok", "processes", f"{who} may have {limit} with all kernels together; the machine can have {machine}")
        return
    advice = "systemd: set TasksMax= in the server's unit; a container: --pids-limit (docs/threat-model.md, Processes)."
    yield Finding("warn", "processes", f"{who} may use up all {machine} of the machine from a cell", advice)


def _guardrails(context: Context) -> Iterator[Finding]:
    from jupyter_audit.detect.guardrails import compile_rules

    for name, rule in sorted(context.policy.guardrails.items()):
        try:
            compile_rules({name: rule})
            yield Finding("ok", f"guardrail {name}", str(rule.path))
        except AuditError as error:
            yield Finding("fail", f"guardrail {name}", str(error), error.advice)


def _kernels(context: Context) -> Iterator[Finding]:
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    for name in context.settings.allowed_kernels:
        try:
            spec = KernelSpecManager().get_kernel_spec(name)
            yield Finding("ok", f"kernel {name}", spec.resource_dir)
        except NoSuchKernel:
            advice = "pip install --force-reinstall jupyter-audit" if name == "audit" else "Install its kernelspec."
            yield Finding("fail", f"kernel {name}", "there is no kernelspec of this name", advice)


def _extension() -> Iterator[Finding]:
    from jupyter_core.paths import jupyter_config_path

    found = [folder for folder in map(Path, jupyter_config_path()) if (folder / EXTENSION_FILE).is_file()]
    if found:
        yield Finding("ok", "server extension", f"enabled in {found[0] / EXTENSION_FILE}")
    else:
        told = "not enabled for servers that somebody else starts; `jupyter audit lab` does not need that"
        yield Finding("warn", "server extension", told, "pip install --force-reinstall jupyter-audit")


def _running(context: Context) -> Iterator[Finding]:
    try:
        status = find_server(context.home, None).api("GET", "status")
    except ServerUnreachableError as error:
        left = (context.home.run / "server.json").exists()
        told = f"one was there and does not answer: {error}" if left else "none on this home"
        yield Finding("warn" if left else "ok", "running server", told)
        return
    except AuditError as error:
        yield Finding("warn", "running server", str(error), error.advice)
        return
    for assertion in status.get("unassured", ()):
        advice = "Start it with `jupyter audit lab` or `jupyter audit server`."
        yield Finding("warn", "running server", f"could not assure that {assertion}", advice)
    if not status.get("recording"):
        yield Finding("fail", "running server", "it cannot record, so nothing runs", "Its log says why.")
    elif not status.get("unassured"):
        yield Finding("ok", "running server", f"{status.get('mode')} mode, every assertion holds")
    yield from _backlog(status.get("backlog") or {})


def _backlog(backlog: dict[str, int]) -> Iterator[Finding]:
    """Whether entries had to be refused because too many waited."""
    refused, waiting = backlog.get("refused", 0), backlog.get("entries", 0)
    if refused:
        told = f"{refused} entries were refused since it started, because too many waited; {waiting} wait now"
        yield Finding("warn", "backlog", told, "What they were for did not run. See that the disk is not slow or full.")
    else:
        yield Finding("ok", "backlog", f"{waiting} entries wait to be stored, none was refused")
