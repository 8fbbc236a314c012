"""Services as processes of this machine: an HTTP server that other jobs call, whatever happens meanwhile."""

from __future__ import annotations

import os
from typing import Any

import pytest
from conftest import Project

from klassd.workflows.client import RunView

FLOW = """
import os, signal, time, urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from klassd.workflows import App, Http, Job, JobContext, Tcp, Workflow

HERE = os.path.dirname(os.path.abspath(__file__))

def note(name: str, text: str) -> None:
    with open(os.path.join(HERE, name + ".new"), "w") as file:
        file.write(text)
    os.rename(os.path.join(HERE, name + ".new"), os.path.join(HERE, name))

def wait_for(name: str) -> None:
    while not os.path.exists(os.path.join(HERE, name)):
        time.sleep(0.005)

class Greeter(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        slow = self.path == "/health" and not os.path.exists(os.path.join(HERE, "healthy"))
        self.send_response(503 if slow else 200)
        self.end_headers()
        self.wfile.write(b"hello from " + self.path.encode())
        if slow:
            note("asked", "")
    def log_message(self, *args: object) -> None:
        pass

class Serve(Job, grace="2s"):
    said: bool = True
    def run(self, ctx: JobContext) -> None:
        server = HTTPServer((ctx.pod_ip, ctx.port or 0), Greeter)
        note("service", f"{os.getpid()} {ctx.attempt}")
        if self.said:
            ctx.signal_ready(port=server.server_port)
        server.serve_forever()

class Call(Job):
    at: str
    def run(self, ctx: JobContext) -> str:
        note("calling", str(os.getpid()))
        wait_for("go")
        with urllib.request.urlopen(f"http://{self.at}/{ctx.node}") as answer:
            return answer.read().decode()

def workflow(name: str, job: Job, **how: object) -> Workflow:
    flow = Workflow(name)
    web = flow.service("web", job, **how)
    call = flow.add("call", Call(at=web.address))
    flow.add("more", Call(at=web.address), after=[call])
    flow.returns(call.output)
    return flow

app = App(jobs=[
    workflow("signals", Serve()),
    workflow("asked", Serve(said=False), ready=Http("/health"), port=0),
    workflow("connected", Serve(said=False), ready=Tcp(), port=0),
    workflow("never", Serve(said=False), ready_within="0.2s"),
])
"""


def begun(project: Project, name: str, *, go: bool = True, **env: str) -> str:
    project.write("flow.py", FLOW)
    if go:
        project.write("go", "")
    project.start("flow:app", **env)
    return project.enqueue("flow:app", name)


def alive(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}") and open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] != "Z"


def of(view: RunView, name: str) -> Any:
    return next(node for node in view.nodes if node.name == name)


def service_pid(project: Project) -> int:
    project.until((project.path / "service").exists, "the service")
    return int((project.path / "service").read_text().split()[0])


@pytest.mark.parametrize("name", ["signals", "connected"])
def test_what_needs_a_service_calls_it_and_then_it_is_taken_down(project: Project, name: str) -> None:
    view = project.finished(begun(project, name))
    assert (view.run.status, view.run.output) == ("succeeded", "hello from /call"), view.run.error
    web = of(view, "web")
    assert web.status == "succeeded" and web.row.address.startswith("127.0.0.1:")
    assert not alive(service_pid(project)), "a run ends after its services"


def test_a_service_is_ready_when_its_health_is_answered_well(project: Project) -> None:
    run_id = begun(project, "asked")
    project.until((project.path / "asked").exists, "a question")
    assert not (project.path / "calling").exists()
    project.write("healthy", "")
    assert project.finished(run_id).run.output == "hello from /call"


@pytest.mark.fault("A6", "F15")
def test_a_service_outlives_its_scheduler_and_keeps_its_address(project: Project) -> None:
    run_id = begun(project, "signals", go=False, KLASSD_LEASE="1")
    project.until((project.path / "calling").exists, "the call")
    project.kill(project._schedulers[0])
    project.write("go", "")
    project.start("flow:app", KLASSD_LEASE="1")
    view = project.finished(run_id)
    assert [of(view, name).status for name in ("web", "call", "more")] == ["succeeded"] * 3, view.run.error
    assert (project.path / "service").read_text().split()[1] == "1"
    assert not alive(service_pid(project))


@pytest.mark.fault("F15")
def test_a_service_that_is_killed_takes_what_uses_it_along_and_both_say_so(project: Project) -> None:
    run_id = begun(project, "signals", go=False)
    project.until((project.path / "calling").exists, "the call")
    os.kill(service_pid(project), 9)
    view = project.finished(run_id)
    assert of(view, "web").error == "killed by signal 9 (SIGKILL)"
    assert of(view, "call").error == "stopped: its service web failed: killed by signal 9 (SIGKILL)"
    assert of(view, "call").latest[0].cause == "service"
    assert (of(view, "more").status, view.run.status) == ("skipped", "failed")
    assert not alive(int((project.path / "calling").read_text()))


@pytest.mark.fault("F15")
def test_a_cancelled_run_leaves_no_service(project: Project) -> None:
    run_id = begun(project, "signals", go=False)
    project.until((project.path / "calling").exists, "the call")
    project.ask(lambda client: client.cancel(run_id))
    view = project.finished(run_id)
    assert (view.run.status, of(view, "call").status) == ("cancelled", "cancelled")
    assert not alive(service_pid(project))


def test_a_service_that_is_not_ready_in_time_fails_with_what_it_lacked(project: Project) -> None:
    view = project.finished(begun(project, "never"))
    expected = "it was not ready within 0.2 s of its start: it never called ctx.signal_ready()"
    assert (of(view, "web").error, of(view, "web").latest[0].cause) == (expected, "not_ready")
    assert of(view, "call").status == "skipped"
    assert not alive(service_pid(project))


def test_show_tells_what_waits_for_a_service_and_where_it_is(project: Project) -> None:
    run_id = begun(project, "asked", go=False)
    project.until((project.path / "asked").exists, "a question")
    waiting = show(project)
    assert "● web   running: not ready yet" in waiting and "○ call  pending: waiting for web to be ready" in waiting
    project.write("healthy", "")
    project.until((project.path / "calling").exists, "the call")
    assert "● web   ready at 127.0.0.1:" in show(project)
    project.write("go", "")
    assert project.finished(run_id).run.status == "succeeded"


def show(project: Project) -> str:
    code = "from klassd.workflows.cli import main; import sys; sys.exit(main(['show', 'last']))"
    return project.python(code)
