"""Images on one machine, by docker or podman: skipped where neither runs."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from containers_help import left

from klassd.workflows import App, Container, FileOutput, Workflow
from klassd.workflows.client import Client, RunView
from klassd.workflows.containers.engine import Engine, container_name, find_engine
from klassd.workflows.containers.running import run_container
from klassd.workflows.errors import LaunchRefused
from klassd.workflows.executors.local import LocalExecutor
from klassd.workflows.executors.local.containers import engine_options
from klassd.workflows.job import job_info
from klassd.workflows.options import EngineOptions, Needs
from klassd.workflows.stores.memory import MemoryStore
from klassd.workflows.testing import context

IMAGE = "localhost/klassd-test-shell:1"
SH = ("/bin/sh", "-c")


def shell(script: str, **options: Any) -> Container:
    return Container(IMAGE, **{"key": "tool", "command": SH, "args": [script], **options})


async def finished(path: Path, work: Any, once: str = "") -> tuple[RunView, list[str]]:
    """The run and the lines of its first console. ``once``: a line after which it is cancelled."""
    app, store = App(executor=LocalExecutor(str(path))), MemoryStore("memory:")
    async with app.scheduler(store), app.client(store) as client:
        run_id = await client.enqueue(work)
        if once:
            await until(client, run_id, once)
            await client.cancel(run_id)
        await client.wait(run_id)
        view = await client.view(run_id)
        return view, await lines(client, view)


async def lines(client: Client, view: RunView) -> list[str]:
    executions = view.nodes[0].executions
    return [line.text for line in await client.log(executions[0].id)] if executions else []


async def until(client: Client, run_id: str, line: str) -> None:
    async for _ in client.changes():
        if line in await lines(client, await client.view(run_id)):
            return


def test_files_exit_codes_and_consoles_pass_through_a_workflow(engine: Engine, tmp_path: Path) -> None:
    flow = Workflow("images")
    outputs = {
        "rows": FileOutput("/out/rows.json"),
        "name": FileOutput("/out/deep/name", format="text"),
        "none": FileOutput("/out/none", default=[]),
    }
    script = 'echo "$1 $MODE"; echo "[1, 2]" > /out/rows.json; echo dk > /out/deep/name'
    first = flow.container(
        "first", IMAGE, command=[*SH, script, "0"], args=["$x"], env={"MODE": {"fast": True}, "N": None}, outputs=outputs
    )
    twice = {"twice": FileOutput("/out/twice")}
    command = [*SH, "echo $(($1 + $1)) > /out/twice", "0"]
    each = flow.map(
        "each", lambda row: Container(IMAGE, command=command, args=[row], outputs=twice), over=first.outputs("rows")
    )
    flow.returns([first.output, each.outputs("twice")])
    view, console = asyncio.run(finished(tmp_path, flow))
    assert view.run.status == "succeeded", view.run.error
    assert view.run.output == [{"rows": [1, 2], "name": "dk", "none": []}, [2, 4]]
    assert console == ['$x {"fast":true}']
    assert not left(engine, view.run.id)


@pytest.mark.parametrize(
    ("work", "cause", "said"),
    [
        (shell("echo bad; exit 3"), "exit", "exit code 3"),
        (shell("true", outputs={"a": FileOutput("/out/a")}), "output", "there is no file /out/a"),
        (shell("echo [ > /out/a", outputs={"a": FileOutput("/out/a")}), "output", "is no JSON"),
        (Container("localhost/klassd-test-nothing:1"), "image", "the image cannot be had"),
        (Container(IMAGE, command=["/bin/nothing"]), "image", "the image could not be started"),
        (shell("trap 'echo woken; exit 0' TERM; sleep 100 & wait", timeout=1, grace=4), "deadline", "longer than its timeout"),
    ],
)
def test_what_it_comes_to_is_told_as_of_a_job(engine: Engine, tmp_path: Path, work: Container, cause: str, said: str) -> None:
    view, _ = asyncio.run(finished(tmp_path, work))
    (execution,) = view.nodes[0].executions
    assert execution.cause == cause and said in str(execution.error)
    assert not left(engine, view.run.id)


def test_a_stop_reaches_it_and_its_last_words_are_heard(engine: Engine, tmp_path: Path) -> None:
    work = shell("trap 'echo woken; exit 0' TERM; echo sleeping; sleep 100 & wait")
    view, console = asyncio.run(finished(tmp_path, work, once="sleeping"))
    assert (view.run.status, console) == ("cancelled", ["sleeping", "woken"])
    assert not left(engine, view.run.id)


def test_nothing_of_it_is_left_when_its_worker_is_killed(engine: Engine, tmp_path: Path) -> None:
    async def main() -> RunView:
        app, store = App(executor=LocalExecutor(str(tmp_path), start="spawn")), MemoryStore("memory:")
        async with app.scheduler(store), app.client(store) as client:
            run_id = await client.enqueue(shell("echo sleeping; sleep 100"))
            await until(client, run_id, "sleeping")
            os.kill(worker_of((await client.view(run_id)).nodes[0].executions[0].id), 9)
            await client.wait(run_id)
            return await client.view(run_id)

    view = asyncio.run(main())
    assert view.nodes[0].executions[0].cause == "lost"
    assert not left(engine, view.run.id)


def worker_of(execution_id: str) -> int:
    """The supervisor, of all processes that carry the execution's cookie the eldest."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if execution_id.encode() in environment and b"klassd.workflows.worker" in command:
            found.append(int(pid))
    return min(found)


def test_a_container_may_be_called_as_any_job_is_in_a_test(engine: Engine) -> None:
    work = shell("echo 5 > /out/a", outputs={"a": FileOutput("/out/a")})
    assert work.run(context()) == {"a": 5}


def test_where_there_is_no_engine_one_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    view, _ = asyncio.run(finished(tmp_path, shell("true")))
    (execution,) = view.nodes[0].executions
    assert execution.cause == "launch" and "docker or podman, and there is neither on the PATH" in str(execution.error)


def test_an_engine_that_does_not_answer_is_passed_over(tmp_path: Path) -> None:
    for name, code in (("docker", 1), ("podman", 0)):
        (tmp_path / name).write_text(f"#!/bin/sh\necho 'no daemon' >&2\nexit {code}\n")
        (tmp_path / name).chmod(0o755)
    assert find_engine(str(tmp_path)).path == str(tmp_path / "podman")
    (tmp_path / "podman").unlink()
    with pytest.raises(LaunchRefused, match=r"docker does not answer \(no daemon\)"):
        find_engine(str(tmp_path))


def test_limits_become_those_of_the_engine_and_requests_do_not() -> None:
    engine = Engine("/usr/bin/podman")
    assert engine_options(engine, None) == EngineOptions(engine.path)
    assert engine_options(engine, Needs(cpu="250m/1", memory="/64Mi")) == EngineOptions(engine.path, 64 * 2**20, 1.0)
    assert engine_options(engine, Needs(cpu="250m/", memory="1Gi/none")) == EngineOptions(engine.path)


def test_what_no_program_can_be_given_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    spec = job_info(shell("true")).container
    with pytest.raises(LaunchRefused, match="argument 1 has 200,000 bytes, at most 131,071"):
        run_container(spec, {"args": ["x" * 200_000]}, context(), "tool", EngineOptions(str(tmp_path)))  # type: ignore[arg-type]
    assert container_name("a-0-0-1") == "klassd-a-0-0-1"
