"""Nothing grows without bound, and a machine that is full harms nobody but the job (D7, D8, D20)."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from worker_help import PATIENCE, Runner, Said, Template, alive, environment, order, until

from klassd.workflows.frames import MAX_LINE
from klassd.workflows.worker.console import LIMIT

MIB = 1 << 20


def peak(pid: int) -> int:
    """The most memory the process ever had, in bytes."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


@pytest.mark.fault("D8")
def test_a_flood_without_a_newline_is_cut_at_the_limit_in_bounded_memory(make_template: Callable[..., Template]) -> None:
    template = make_template()
    template.run("Floods", inputs={"size": 1})
    before = peak(template.process.pid)
    size = 1024
    said = template.run("Floods", inputs={"size": size})
    assert said.value == "all written"
    assert said.lines[-1].cut_bytes == size * MIB - LIMIT
    assert max(len(line.text) for line in said.lines) == MAX_LINE
    assert peak(template.process.pid) - before < 8 * MIB


@pytest.mark.fault("D7")
def test_a_spool_that_cannot_grow_fails_the_job_with_the_systems_words(runner: Runner) -> None:
    wanted = order("Floods", inputs={"size": 64})
    process = runner.start(wanted)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (256 * 1024, 256 * 1024))
    process.communicate(timeout=PATIENCE)
    said = runner.spool.read(wanted.execution_id)
    assert process.returncode == 1 and said.plain == []
    assert said.record is not None and b"File too large" in said.record
    assert b'"result":"failure"' in said.record


@pytest.mark.fault("D7")
@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a file system that is full")
def test_a_full_disk_harms_one_job_and_its_outcome_is_told_when_there_is_room(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], check=True)
    try:
        _fill_the_disk(small)
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def _fill_the_disk(small: Path) -> None:
    template = Template(small)
    try:
        filler = small / "filler"
        filler.write_bytes(b"x" * 512 * 1024)
        execution_id = template.launch("Floods", inputs={"size": 8})
        pid = template.spool.until_said(execution_id, "start").bodies("start")[0]["pid"]
        until(lambda: not alive(pid), "the end of the job that filled the disk")
        filler.unlink()
        template.link.wait("ended", id=execution_id)
        end = template.spool.path.joinpath(f"{execution_id}.end").read_bytes()
        assert b"No space left on device" in end
        template.spool.path.joinpath(f"{execution_id}.log").unlink()
        assert template.run("Add", inputs={"a": 1}).value == 2
    finally:
        template.close()


@pytest.mark.fault("D20")
def test_a_template_out_of_descriptors_refuses_and_starts_nothing(make_template: Callable[..., Template]) -> None:
    template = make_template()
    first = template.launch("Stops")
    template.spool.until_said(first, "ready")
    used = len(os.listdir(f"/proc/{template.process.pid}/fd"))
    resource.prlimit(template.process.pid, resource.RLIMIT_NOFILE, (used + 3, 4096))
    wanted = order("Add", inputs={"a": 1})
    assert refusal(template, wanted)["why"] == "resources"
    assert not template.spool.path.joinpath(f"{wanted.execution_id}.log").exists()
    resource.prlimit(template.process.pid, resource.RLIMIT_NOFILE, (4096, 4096))
    assert template.run(wanted).value == 2
    template.stop(first)
    template.link.wait("ended", id=first)


@pytest.mark.fault("D20")
def test_a_fork_that_fails_refuses_and_starts_nothing(make_template: Callable[..., Template]) -> None:
    template = make_template(module="no_fork_jobs")
    wanted = order("Add", module="sample_jobs", inputs={"a": 1})
    said = refusal(template, wanted)
    assert said["why"] == "resources" and "EAGAIN" in said["message"]
    assert not template.spool.path.joinpath(f"{wanted.execution_id}.log").exists()


def refusal(template: Template, wanted: Any) -> dict[str, Any]:
    template.link.send(op="launch", order=msgspec.to_builtins(wanted))
    said = template.link.wait("launched", "refused", id=wanted.execution_id)
    assert said["op"] == "refused", said
    return said


@pytest.mark.fault("D9")
def test_a_pod_whose_console_nobody_reads_still_meets_its_deadline(tmp_path: Path) -> None:
    wanted = order("Floods", inputs={"size": 64}, timeout=0.5, grace=0.1)
    process = subprocess.Popen(
        [sys.executable, "-m", "klassd.workflows.worker", "run"],
        env=environment(KLASSD_ORDER=msgspec.json.encode(wanted).decode()),
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )
    assert process.stdout
    pid = until(lambda: child_of(process.pid), "the job's process")
    until(lambda: not Path(f"/proc/{pid}").exists(), "the death of the job")
    assert peak(process.pid) < 64 * MIB
    data, _ = process.communicate(timeout=PATIENCE)
    end = Said(data).end
    assert (end.requested, process.returncode) == ("deadline", 1)


def child_of(parent: int) -> int | None:
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                if int(file.read().rpartition(b")")[2].split()[1]) == parent:
                    return int(name)
        except OSError:
            continue
    return None
