"""Services and their supervisor: where they listen, and when they are said to be ready."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from worker_help import Runner, Said, Template

from klassd.workflows.options import Service
from klassd.workflows.worker.serving import Probe


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    made = Template(tmp_path_factory.mktemp("serving"), "serving_jobs")
    yield made
    made.close()


def serve(template: Template, job: str, service: Service, **inputs: Any) -> str:
    return template.launch(job, module="serving_jobs", service=service, inputs=inputs)


def ready(template: Template, execution_id: str) -> dict[str, Any]:
    """What it says when it is ready; then it is stopped."""
    template.spool.until_said(execution_id, "ready")
    said = ended(template, execution_id)
    (body,) = said.bodies("ready")
    found: dict[str, Any] = body
    return found


def ended(template: Template, execution_id: str) -> Said:
    template.stop(execution_id)
    template.link.wait("ended", id=execution_id)
    return template.spool.read(execution_id)


def is_free(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) != 0


def test_a_port_is_asked_until_it_accepts(template: Template, tmp_path: Path) -> None:
    gate = str(tmp_path / "gate")
    os.mkfifo(gate)
    execution_id = serve(template, "Answers", Service(ready="tcp", port=0), lines=[""], gate=gate)
    assert "ready" not in template.spool.until_said(execution_id, "log").kinds
    os.close(os.open(gate, os.O_WRONLY))
    told = ready(template, execution_id)
    assert told["host"] == "127.0.0.1" and told["port"] > 0
    assert is_free(told["port"])


@pytest.mark.parametrize(
    "before",
    ["HTTP/1.1 503 Not Yet\r\n\r\n", "HTTP/1.1 404 Not Found\r\n\r\n", "SSH-2.0-OpenSSH_9\r\n", "HTTP/1.1 200 OK, but cut", ""],
    ids=["not yet", "not found", "another protocol", "half a line", "nothing"],
)
def test_a_path_is_asked_until_it_is_answered_well(template: Template, before: str) -> None:
    lines = [before, "HTTP/1.1 204 No Content\r\n\r\n"]
    execution_id = serve(template, "Answers", Service(ready="http", path="/", port=0), lines=lines)
    assert set(ready(template, execution_id)) == {"host", "port"}


def test_what_is_never_answered_well_ends_in_time_and_says_why(template: Template) -> None:
    service = Service(ready="http", path="/", port=0, ready_within=0.4)
    execution_id = serve(template, "Answers", service, lines=["HTTP/1.1 500 Broken\r\n\r\n"])
    template.link.wait("ended", id=execution_id)
    said = template.spool.read(execution_id)
    assert (said.end.result, said.end.requested, "ready" in said.kinds) == ("none", "not_ready", False)


@pytest.mark.parametrize(("own", "declared", "told"), [(8080, None, 8080), (8080, 80, 8080), (None, None, None)])
def test_a_signal_is_told_once_with_the_port_that_the_job_chose(
    template: Template, own: int | None, declared: int | None, told: int | None
) -> None:
    body = ready(template, serve(template, "Signals", Service(port=declared), port=own))
    assert body == {"host": "127.0.0.1"} | ({} if told is None else {"port": told})


@pytest.mark.parametrize("start", ["template", "alone"])
def test_a_port_that_another_listens_at_is_not_taken_for_the_services_own(
    template: Template, runner: Runner, start: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as another:
        port = another.getsockname()[1]
        run: Callable[..., Said] = template.run if start == "template" else runner.run
        said = run("Answers", module="serving_jobs", service=Service(port=port), inputs={"lines": [""]})
    assert said.error.message == (
        f"something else listens at port {port} of 127.0.0.1 already: give the service port=0, and let it listen at ctx.port"
    )


class Watched:
    """The supervisor's poll, a turn at a time."""

    def __init__(self) -> None:
        self._handlers: dict[int, Callable[[], object]] = {}
        self._poll = select.poll()

    def watch(self, fd: int, handler: Callable[[], object], event: int = select.POLLIN) -> None:
        self._handlers[fd] = handler
        self._poll.register(fd, event)

    def unwatch(self, fd: int) -> None:
        if self._handlers.pop(fd, None):
            self._poll.unregister(fd)

    def turn(self) -> None:
        for fd, _ in self._poll.poll(10_000):
            self._handlers[fd]()


@pytest.mark.parametrize("then", ["greets", "keeps silent"])
def test_an_engine_that_accepts_before_its_image_listens_and_hangs_up_is_not_taken_for_it(then: str) -> None:
    watched, answers = Watched(), list[bool]()
    with socket.create_server(("127.0.0.1", 0)) as engine:
        service = Service(ready="tcp", port=engine.getsockname()[1])
        probe = Probe(service, watched, lambda: answers.append(True), published=True)
        probe.turn(0.0)
        engine.accept()[0].close()
        watched.turn()
        watched.turn()
        assert not answers
        probe.turn(0.0)
        with engine.accept()[0] as connection:
            watched.turn()
            assert not answers
            if then == "greets":
                connection.sendall(b"220 ready\r\n")
                watched.turn()
            else:
                probe.turn(0.0)  # its time has come
        assert answers == [True]
    probe.close()
