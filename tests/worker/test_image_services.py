"""Services that are images, and their supervisor: their time counts from the container's start, however slow their pull is."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from worker_help import Template

from klassd.workflows.containers.container import SOURCE
from klassd.workflows.options import EngineOptions, Service
from klassd.workflows.order import ContainerSpec

PULL = 1.2  # seconds
ENGINE = f"""#!{sys.executable} -S
import os, signal, socket, sys, time

port, pid = (os.path.join(os.path.dirname(__file__), name) for name in ("port", "pid"))
verb, *words = sys.argv[1:]
if verb == "image":
    sys.exit("no such image")
elif verb == "pull":
    time.sleep({PULL})
elif verb == "create":
    with open(port, "w") as file:
        file.write(next(word for word in words if word.startswith("--publish=")))
elif verb == "start":
    with open(port) as file, socket.create_server(("127.0.0.1", int(file.read().split(":")[1]))) as server:
        with open(pid, "w") as file:
            file.write(str(os.getpid()))
        while True:
            server.accept()[0].sendall(b"220 ready")
elif verb == "stop":
    with open(pid) as file:
        os.kill(int(file.read()), signal.SIGKILL)
elif verb == "inspect":
    print('{{"Status": "exited", "ExitCode": 137}}')
"""


@pytest.fixture
def template(tmp_path: Path) -> Iterator[Template]:
    made = Template(tmp_path, SOURCE.partition(":")[0])
    yield made
    made.close()


@pytest.fixture
def engine(tmp_path: Path) -> str:
    path = tmp_path / "docker"
    path.write_text(ENGINE)
    path.chmod(0o755)
    return str(path)


def launch(template: Template, engine: EngineOptions, service: Service) -> str:
    container, inputs = ContainerSpec("db:1"), {"args": [], "env": {}}
    return template.launch("db", source=SOURCE, inputs=inputs, container=container, engine=engine, service=service)


def test_one_whose_pull_takes_longer_than_it_may_take_to_be_ready_is_ready_in_time(template: Template, engine: str) -> None:
    service = Service(ready="tcp", port=0, ready_within=PULL - 0.2)
    execution_id = launch(template, EngineOptions(engine, port=5432), service)
    (told,) = template.spool.until_said(execution_id, "ready").bodies("ready")
    template.stop(execution_id)
    template.link.wait("ended", id=execution_id)
    published = Path(engine).with_name("port").read_text()
    assert published == f"--publish=127.0.0.1:{told['port']}:5432"


def test_one_in_the_network_of_the_machine_that_finds_its_port_taken_says_so(template: Template, engine: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as another:
        service = Service(ready="tcp", port=another.getsockname()[1])
        execution_id = launch(template, EngineOptions(engine, host_network=True), service)
        template.link.wait("ended", id=execution_id)
    said = template.spool.read(execution_id)
    assert said.error.message == (
        f"something else listens at port {service.port} of 127.0.0.1 already:"
        " an image that uses services is in the network of this machine: let it listen at another port"
    )
