"""Whether the number of a server's processes is limited, as its cgroups say."""

from __future__ import annotations

from pathlib import Path

import pytest

from jupyter_audit.cli.server_checks import _processes
from jupyter_audit.gate.pids import counts_by_namespace, machine_limit, most_processes

CASES = {
    "version 2": ("0::/system.slice/jupyter.service\n", {"system.slice/jupyter.service": "512"}, 512),
    "the least of all above": ("0::/a/b/c\n", {"a": "100", "a/b": "max", "a/b/c": "4000"}, 100),
    "version 1": ("8:pids:/docker/x\n4:memory:/y\n0::/\n", {"pids/docker/x": "64", "memory/y": "1"}, 64),
    "version 1, together with others": ("3:cpu,pids:/x\n", {"cpu,pids/x": "70"}, 70),
    "both mounted": ("9:name=systemd:/\n0::/x\n", {"unified/x": "80"}, 80),
    "a container's own root": ("0::/\n", {"": "300"}, 300),
    "outside of the namespace": ("0::/../../x\n", {"": "9", "x": "10"}, 9),
    "no limit": ("0::/x\n", {"x": "max"}, None),
    "tasks are not counted": ("4:memory:/x\n", {"pids/x": "1"}, None),
    "nonsense": ("what\n0::\n", {"": "many"}, None),
}


@pytest.mark.parametrize("case", CASES)
def test_the_least_limit_above_a_process_is_the_one_in_force(tmp_path: Path, case: str) -> None:
    told, limits, expected = CASES[case]
    for name, who in (("proc", "self"), ("proc", "7")):
        (tmp_path / name / who).mkdir(parents=True)
        (tmp_path / name / who / "cgroup").write_text(told)
    for place, limit in limits.items():
        folder = tmp_path / "cgroup" / place
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pids.max").write_text(f"{limit}\n")
    for pid in (None, 7):
        assert most_processes(pid, proc=tmp_path / "proc", cgroups=tmp_path / "cgroup") == expected


def test_a_process_that_is_gone_has_none(tmp_path: Path) -> None:
    assert most_processes(7, proc=tmp_path, cgroups=tmp_path) is None
    assert machine_limit(tmp_path) is None


@pytest.mark.parametrize(
    ("limit", "machine", "level"), [(512, 32768, "ok"), (None, 32768, "warn"), (32768, 32768, "warn"), (None, None, None)]
)
def test_doctor_says_whether_a_cell_could_use_up_the_processes_of_the_machine(
    limit: int | None, machine: int | None, level: str | None
) -> None:
    findings = list(_processes(limit, machine, "the running server"))
    assert [finding.level for finding in findings] == ([] if level is None else [level])
    for finding in findings:
        assert str(limit if level == "ok" else machine) in finding.result
        assert ("TasksMax" in finding.advice) == (level == "warn")


@pytest.mark.parametrize(("release", "counted"), [
    ("5.13.19-generic", False), ("5.14.0-70.el9", True), ("6.1.0-18-amd64", True), ("4.18.0", False), ("6", True), ("what", False), ("", False),
])  # fmt: skip
def test_sessions_are_counted_apart_from_the_linux_on_that_does_so(release: str, counted: bool) -> None:
    assert counts_by_namespace(release) is counted
