"""Which process an execution is started from, and with what. Real processes."""

import asyncio
import contextlib
import json
import logging
import os
import sys
from pathlib import Path

import pytest
from local_help import open_gate, wait_until

from klassd.workflows.errors import ConfigurationError, LaunchDelayed, LaunchRefused
from klassd.workflows.executors.local import LocalExecutor, environment, executor, templates
from klassd.workflows.executors.local.identity import COOKIE
from klassd.workflows.sockets import socket_dir
from klassd.workflows.testing.executors import hear, hear_until, run

MODULE = """
import os
from klassd.workflows import Job

class Answers(Job):
    def run(self, ctx):
        return [{answer}, os.getppid()]
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes the module of a user; it is on the import path of this process and so of the workers."""
    directory = tmp_path / "user"
    directory.mkdir()
    monkeypatch.syspath_prepend(str(directory))

    def write(name, text):
        (directory / f"{name}.py").write_text(text)
        return name

    return write


async def perform(own, order):
    await own.launch(order)
    heard = await hear(own, order.execution_id)
    await own.reap(order.execution_id)
    return heard


@pytest.mark.fault("A15")
def test_a_template_is_replaced_when_its_code_changed_and_what_it_has_running_goes_on(place, module):
    async def check():
        async with place.executor() as own:
            slow = place.order("Waits", module=module("changing", WAITING + MODULE.format(answer=1)))
            await own.launch(slow)
            await hear_until(own, slow.execution_id, "waiting")
            before = await perform(own, place.order("Answers", module="changing"))
            module("changing", MODULE.format(answer="'changed'"))
            after = await asyncio.gather(*(perform(own, place.order("Answers", module="changing")) for _ in range(5)))
            await own.stop(slow.execution_id, 5.0)
            return before, after, await hear(own, slow.execution_id)

    before, after, slow = run(check)
    assert before.outputs[""][0] == 1
    assert {tuple(each.outputs[""]) for each in after} == {("changed", after[0].outputs[""][1])}
    assert before.outputs[""][1] != after[0].outputs[""][1]
    assert slow.finished.end.requested == "stop"


@pytest.mark.fault("A15")
def test_an_execution_that_runs_already_is_launched_though_its_module_is_broken_by_now(place, module):
    async def check():
        async with place.executor() as first:
            slow = place.order("Waits", module=module("mended_later", WAITING))
            await first.launch(slow)
            await hear_until(first, slow.execution_id, "waiting")
        module("mended_later", "this is no Python")
        async with place.executor() as second:
            await second.launch(slow)
            await second.stop(slow.execution_id, 5.0)
            return await hear(second, slow.execution_id)

    assert run(check).finished.end.requested == "stop"


WAITING = """
import signal
from klassd.workflows import Job

class Waits(Job):
    def run(self, ctx):
        print("waiting", flush=True)
        signal.pause()
"""

THREADED = """
import threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
"""


def test_a_module_with_a_thread_at_import_gets_a_new_interpreter_each_time_and_that_is_said_once(place, module, caplog):
    caplog.set_level(logging.WARNING, "klassd.workflows")

    async def check():
        async with place.executor() as own:
            name = module("threaded", THREADED + MODULE.format(answer=1))
            return [await perform(own, place.order("Answers", module=name)) for _ in range(2)]

    first, second = run(check)
    assert first.outputs[""][0] == second.outputs[""][0] == 1
    assert first.outputs[""][1] != second.outputs[""][1]
    (message,) = [record.getMessage() for record in caplog.records]
    assert "threaded" in message and "thread(s) at import" in message


def test_who_insists_on_forking_is_told_why_that_cannot_be(place, module):
    async def check():
        async with place.executor(start="fork") as own:
            await own.launch(place.order("Answers", module=module("threaded2", THREADED + MODULE.format(answer=1))))

    with pytest.raises(LaunchRefused, match="thread"):
        run(check)


SLOW = """
import sys
if "run" not in sys.argv:
    open({gate!r}).read()
"""


def test_a_slow_template_holds_nobody_up_and_is_used_once_it_is_there(place, module, monkeypatch):
    monkeypatch.setattr(templates, "START", 0.1)
    gate = place.gate()

    async def check():
        async with place.executor() as own:
            name = module("slow", SLOW.format(gate=gate) + MODULE.format(answer=1))
            alone = await perform(own, place.order("Answers", module=name))
            await asyncio.to_thread(open_gate, gate)
            monkeypatch.setattr(templates, "START", 10.0)
            return [alone, *[await perform(own, place.order("Answers", module=name)) for _ in range(2)]]

    alone, second, third = [heard.outputs[""][1] for heard in run(check)]
    assert alone != second == third


def test_a_template_that_dies_at_its_start_is_told_with_its_last_words(place, tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho cannot go on >&2\nexit 3\n")
    python.chmod(0o755)

    async def check():
        async with place.executor(python=str(python)) as own:
            await own.launch(place.order("Environment"))

    with pytest.raises(LaunchRefused, match=r"local_jobs ended with exit code 3 while it started: cannot go on"):
        run(check)


def test_a_socket_directory_that_somebody_tidied_away_is_made_again(place):
    """It lies in /tmp, where a machine may remove what is old; a scheduler may run for months."""

    async def check():
        async with place.executor(start="fork") as own:
            os.rmdir(socket_dir(place.state))
            return await perform(own, place.order("Environment"))

    assert run(check).outputs[""][COOKIE].startswith(socket_dir(place.state))


@contextlib.contextmanager
def taken(path):
    path.rmdir()
    path.touch()
    yield
    path.unlink()


def test_a_job_gets_a_new_interpreter_while_the_socket_directory_is_somebody_elses_and_that_is_said(place, caplog):
    caplog.set_level(logging.WARNING, "klassd.workflows")

    async def check():
        async with place.executor() as own:
            with taken(Path(socket_dir(place.state))):
                return await perform(own, place.order("Environment"))

    assert not run(check).outputs[""][COOKIE].startswith(socket_dir(place.state))
    assert any("set TMPDIR" in record.getMessage() and "local_jobs" in record.getMessage() for record in caplog.records)


def test_a_template_that_ended_because_nobody_came_is_started_again(place, tmp_path):
    """Its scheduler was stopped for longer than a template waits: that is no fault of the job."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 0\n")
    python.chmod(0o755)

    async def check():
        async with place.executor(python=str(python)) as own:
            await own.launch(place.order("Environment"))

    with pytest.raises(LaunchDelayed, match="exit code 0 while it started"):
        run(check)


def test_a_module_that_ends_the_process_on_import_fails_its_execution_with_that_exit_code(place, module):
    async def check():
        async with place.executor() as own:
            return await perform(own, place.order("Answers", module=module("dying", "import os\nos._exit(3)\n")))

    end = run(check).finished.end
    assert (end.result, end.exit_code) == ("none", 3)


def test_a_module_that_cannot_be_imported_fails_its_execution_and_names_the_reason(place, module):
    async def check():
        async with place.executor() as own:
            return await perform(own, place.order("Answers", module=module("broken", "import does_not_exist\n")))

    end = run(check).finished.end
    assert end.cause == "input" and "does_not_exist" in end.error.message


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_an_interpreter_that_is_not_there_is_named(place, start):
    async def check():
        async with place.executor(python="/no/such/python", start=start) as own:
            await own.launch(place.order("Environment"))

    with pytest.raises(LaunchRefused, match="/no/such/python"):
        run(check)


@pytest.mark.fault("D24")
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_job_sees_nothing_of_the_schedulers_environment_but_what_is_allowed(place, start, monkeypatch):
    for name in ("DATABASE_PASSWORD", "AWS_SECRET_ACCESS_KEY", "KLASSD_STORE", "KLASSD_JOB_COLOUR", "CHOSEN", "LC_TIME"):
        monkeypatch.setenv(name, f"value of {name}")

    async def check():
        async with place.executor(start=start, env=["CHOSEN"]) as own:
            return await perform(own, place.order("Environment"))

    seen = run(check).outputs[""]
    assert {name for name, value in seen.items() if value.startswith("value of")} == {"KLASSD_JOB_COLOUR", "CHOSEN", "LC_TIME"}
    assert seen["PATH"] == os.environ["PATH"]
    others = {name for name in seen if name not in environment._NAMES and not name.startswith("LC_")}
    assert others == {"PYTHONPATH", "KLASSD_WORKER", "KLASSD_JOB_COLOUR", "CHOSEN"}


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_stand_in_sessions_of_their_own_without_our_descriptors(place, start, tmp_path):
    ours = tmp_path / "ours"

    async def check():
        fd = os.open(ours, os.O_WRONLY | os.O_CREAT)
        os.set_inheritable(fd, True)
        try:
            async with place.executor(start=start) as own:
                return await perform(own, place.order("Standing"))
        finally:
            os.close(fd)

    seen = run(check).outputs[""]
    assert os.getsid(0) not in seen["sessions"]
    assert seen["stdin"] == "/dev/null"
    assert str(ours) not in json.dumps(seen["fds"])


def test_closing_ends_templates_that_have_nothing_to_do(place):
    async def check():
        async with place.executor() as own:
            order = place.order("Environment")
            await own.launch(order)
            await hear(own, order.execution_id)
            return place.introduced(order.execution_id)[0]

    hello = run(check)
    wait_until(lambda: not os.path.exists(f"/proc/{hello.pid}"))
    assert not os.path.exists(hello.sock)


def test_idle_templates_are_retired_but_for_the_one_used_last(place, module, monkeypatch):
    monkeypatch.setattr(templates, "IDLE", 0.0)

    async def check():
        async with place.executor() as own:
            pids = []
            for name in ("one", "two"):
                heard = await perform(own, place.order("Answers", module=module(name, MODULE.format(answer=1))))
                pids.append(heard.outputs[""][1])
            await asyncio.to_thread(wait_until, lambda: not own._routes)  # told when it has reaped it
            own._templates.retire_idle()
            await asyncio.to_thread(wait_until, lambda: not os.path.exists(f"/proc/{pids[0]}"))
            again = await perform(own, place.order("Answers", module="two"))
            return pids, again.outputs[""][1]

    pids, again = run(check)
    assert again == pids[1]


def test_the_import_path_is_the_programs_own_without_the_interpreters(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", "/project/src", *sys.path, "/project/src"])
    path = environment.import_path()
    assert path[:2] == [str(tmp_path), "/project/src"] and path.count("/project/src") == 1
    assert not [entry for entry in path if entry.endswith(("site-packages", "lib-dynload", ".zip"))]
    assert os.path.dirname(os.__file__) not in path


def test_a_state_directory_is_made_and_hidden_from_git(place):
    async def check():
        async with place.executor():
            pass

    run(check)
    with open(os.path.join(place.state, ".gitignore")) as file:
        assert file.read() == "*\n"


def test_a_state_directory_of_another_user_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(executor.os, "getuid", lambda: 12345)
    with pytest.raises(ConfigurationError, match=r"belongs to user \d+, but this process runs as user 12345"):
        executor.prepare_state_dir(str(tmp_path))


@pytest.mark.parametrize("wrong", [{"start": "thread"}, {"concurrency": 0}])
def test_a_setting_that_cannot_be_is_refused_with_its_value(wrong):
    with pytest.raises(ConfigurationError, match=r"thread|0"):
        LocalExecutor("state", **wrong)
