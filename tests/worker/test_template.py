"""The template's control protocol: hello, launch, claim, stale code, slow listeners, retirement."""

from __future__ import annotations

import os
import signal
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from worker_help import PATIENCE, Runner, Template, alive, order, until

from klassd.workflows import __version__
from klassd.workflows.frames import PROTOCOL
from klassd.workflows.order import Order

Make = Callable[..., Template]


def refused(template: Template, wanted: Order) -> str:
    template.link.send(op="launch", order=msgspec.to_builtins(wanted))
    said = template.link.wait("launched", "refused", id=wanted.execution_id)
    assert said["op"] == "refused" and (said["why"] == "exists" or said["message"])
    return str(said["why"])


def start_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def test_a_template_introduces_itself_to_every_connection(shared: Template) -> None:
    execution_id = shared.launch("Stops")
    other = shared.connect()
    for hello, live in ((shared.hello, []), (other.wait("hello"), [execution_id])):
        assert (hello["pid"], hello["start"]) == (shared.process.pid, start_of(shared.process.pid))
        assert hello["boot"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        assert (hello["fork"], hello["reason"], hello["live"]) == (True, "", live)
    shared.stop(execution_id)
    other.wait("ended", id=execution_id)
    shared.link.wait("ended", id=execution_id)
    other.close()


def test_the_first_frames_say_who_supervises_and_which_process_runs(shared: Template) -> None:
    wanted = order("Process")
    said = shared.run(wanted)
    hello, start = said.bodies("hello")[0], said.bodies("start")[0]
    assert (hello["v"], hello["p"], hello["x"]) == (__version__, PROTOCOL, wanted.execution_id)
    assert (hello["pid"], hello["start"]) == (shared.hello["pid"], shared.hello["start"])
    assert (hello["boot"], hello["sock"]) == (shared.hello["boot"], shared.path)
    assert start["pid"] == said.value["pid"]


def test_the_process_of_a_job_that_runs_is_told_with_the_time_it_began(shared: Template) -> None:
    execution_id = shared.launch("Stops")
    (start,) = shared.spool.until_said(execution_id, "ready").bodies("start")
    assert start["start"] == start_of(start["pid"]) >= shared.hello["start"]
    shared.stop(execution_id)
    shared.link.wait("ended", id=execution_id)


def test_only_its_user_may_connect(shared: Template) -> None:
    assert stat.S_IMODE(os.stat(shared.path).st_mode) & 0o077 == 0


def test_an_execution_is_started_once_however_often_it_is_launched(shared: Template, make_template: Make) -> None:
    wanted = order("Add", inputs={"a": 1})
    said = shared.run(wanted)
    assert refused(shared, wanted) == "exists"
    assert shared.spool.read(wanted.execution_id).frames == said.frames
    log = shared.spool.path / f"{wanted.execution_id}.log"
    os.truncate(log, 0)  # what is left of it when its outcome is stored
    assert refused(shared, wanted) == "exists"


def test_of_two_processes_with_one_order_only_one_starts_it(runner: Runner) -> None:
    wanted = order("Add", inputs={"a": 1})
    both = [runner.start(wanted) for _ in range(2)]
    errors = [process.communicate(timeout=PATIENCE)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 2]
    assert any(b"started before" in error for error in errors)
    assert runner.spool.read(wanted.execution_id).kinds.count("start") == 1


def test_an_expired_order_is_refused_and_leaves_nothing(shared: Template, runner: Runner) -> None:
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    wanted = order("Add", inputs={"a": 1}, expires=now - 1)
    assert refused(shared, wanted) == "expired"
    runner.start(wanted).communicate(timeout=PATIENCE)
    assert os.listdir(runner.spool.path) == []
    assert not (shared.spool.path / f"{wanted.execution_id}.log").exists()
    assert shared.run(order("Add", inputs={"a": 1}, expires=now + 60)).value == 2


def test_code_that_changed_is_stale(make_template: Make, tmp_path: Path) -> None:
    helper = tmp_path / "changing_helper.py"
    helper.write_text("VALUE = 1\n")
    (tmp_path / "changing_jobs.py").write_text(
        "from changing_helper import VALUE\nfrom klassd.workflows.job import Job\n"
        "class Get(Job):\n    def run(self, ctx):\n        return VALUE\n"
    )
    template = make_template(module="changing_jobs", PYTHONPATH=str(tmp_path))
    assert template.run(order("Get", module="changing_jobs")).value == 1
    helper.write_text("VALUE = 22\n")
    assert refused(template, order("Get", module="changing_jobs")) == "stale"


def test_a_module_with_threads_is_not_forked_and_says_why(make_template: Make) -> None:
    template = make_template(module="threaded_jobs")
    assert template.hello["fork"] is False and "thread" in template.hello["reason"]
    assert refused(template, order("Add", inputs={"a": 1})) == "unsafe"


def test_a_module_that_cannot_be_imported_is_told_by_each_execution(make_template: Make) -> None:
    template = make_template(module="broken_module")
    said = template.run(order("Job", module="broken_module"))
    assert said.end.cause == "input" and "not_installed" in said.error.message and "broken_module.py" in said.text


def test_a_module_that_exits_while_it_is_imported_does_not_end_the_template(make_template: Make) -> None:
    template = make_template(module="exiting_module")
    assert template.run(order("Job", module="exiting_module")).end.result != "success"
    assert template.run("Add", inputs={"a": 1}).value == 2


def test_a_job_has_a_process_of_its_own_with_nothing_of_others(shared: Template) -> None:
    other = shared.launch("Stops")
    shared.spool.until_said(other, "ready")
    seen = shared.run("Process").value
    assert seen["pid"] == seen["sid"] == seen["pgid"]
    assert seen["stdin"] == "" and "KLASSD_ORDER" not in seen["env"]
    assert seen["handlers"]["SIGCHLD"] == "0" and "default_int_handler" in seen["handlers"]["SIGINT"]
    kinds = sorted(target.partition(":")[0] for fd, target in seen["fds"].items() if "/proc/" not in target)
    assert kinds == ["/dev/null", "pipe", "pipe", "pipe", "socket"]  # 0, 1, 2, the first end of 1 again, the control socket
    shared.stop(other)
    shared.link.wait("ended", id=other)


def test_growth_is_told_and_the_end_only_when_it_is_written(shared: Template) -> None:
    execution_id = shared.launch("Prompts")
    shared.link.wait("grew", id=execution_id)
    shared.stop(execution_id)
    shared.link.wait("ended", id=execution_id)
    assert shared.spool.read(execution_id).kinds[-1] == "end"


def test_a_listener_that_never_reads_holds_nobody_up(shared: Template) -> None:
    deaf = shared.connect()
    deaf.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    for number in range(60):
        assert shared.run("Add", inputs={"a": number}).value == number + 1
    deaf.close()


def test_nonsense_on_a_connection_ends_that_connection_only(shared: Template) -> None:
    for line in (
        b"no json\n",
        b'{"op":"launch"}\n',
        b'{"op":"launch","order":{"x":1}}\n',
        b'["op"]\n',
        b'{"op":"stop","id":[]}\n',
    ):
        link = shared.connect()
        link.sock.sendall(line)
        link.sock.shutdown(socket.SHUT_WR)
        link.close()
    assert shared.run("Add", inputs={"a": 1}).value == 2


def test_a_retired_template_takes_nothing_new_and_ends_after_its_last_job(make_template: Make) -> None:
    template = make_template()
    execution_id = template.launch("Stops")
    template.spool.until_said(execution_id, "ready")
    template.link.send(op="retire")
    assert refused(template, order("Add", inputs={"a": 1})) == "stale"
    assert template.process.poll() is None
    template.stop(execution_id)
    template.link.wait("ended", id=execution_id)
    assert template.process.wait(PATIENCE) == 0
    assert not os.path.exists(template.path)


def test_jobs_go_on_without_any_connection(make_template: Make) -> None:
    template = make_template()
    execution_id = template.launch("Stops")
    template.spool.until_said(execution_id, "ready")
    template.link.close()
    template.link = template.connect()
    assert template.link.wait("hello")["live"] == [execution_id]
    template.stop(execution_id)
    template.link.wait("ended", id=execution_id)


def test_a_template_ends_once_its_last_scheduler_has_gone_and_nothing_runs(make_template: Make) -> None:
    template = make_template()
    first = template.connect()
    template.run("Add", inputs={"a": 1})
    template.link.close()
    wanted = order("Add", inputs={"a": 1})
    first.send(op="launch", order=msgspec.to_builtins(wanted))
    first.wait("ended", id=wanted.execution_id)
    first.close()
    assert template.process.wait(PATIENCE) == 0
    assert not os.path.exists(template.path)


@pytest.mark.parametrize("stopped", [False, True], ids=["at once", "with the deaths of forker and job in one turn"])
def test_jobs_of_a_dead_forker_are_lost_and_said_to_be(make_template: Make, stopped: bool) -> None:
    template = make_template()
    execution_id = template.launch("Stops", inputs={"how": "ignore"})
    pid = template.spool.until_said(execution_id, "ready").bodies("start")[0]["pid"]
    forker = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    if stopped:
        os.kill(template.process.pid, signal.SIGSTOP)
    os.kill(forker, signal.SIGKILL)
    if stopped:
        until(lambda: not alive(pid), "the death of the job")
        os.kill(template.process.pid, signal.SIGCONT)
    template.link.wait("ended", id=execution_id)
    until(lambda: not alive(pid), "the death of the job")
    end = template.spool.read(execution_id).end
    assert (end.result, end.cause, end.signal) == ("none", "lost", None)
    assert refused(template, order("Add", inputs={"a": 1})) == "stale"


def test_a_template_ends_in_order_on_sigterm(make_template: Make) -> None:
    template = make_template()
    execution_id = template.launch("Stops")
    template.spool.until_said(execution_id, "ready")
    template.process.send_signal(signal.SIGTERM)
    assert template.process.wait(PATIENCE) == 0
    assert template.spool.read(execution_id).end.requested == "stop"


def test_many_jobs_at_once_each_have_their_own_console(make_template: Make) -> None:
    template = make_template()
    wanted: dict[str, Any] = {}
    for number in range(40):
        lines = [f"job {number} line {line}" for line in range(50)]
        wanted[template.launch("Print", inputs={"lines": lines})] = lines
    for execution_id, lines in wanted.items():
        template.link.wait("ended", id=execution_id)
        assert template.spool.read(execution_id).texts == lines
