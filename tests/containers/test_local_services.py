"""Services of an image on one machine, by docker or podman: skipped where neither runs."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import BinaryIO

import msgspec
from container_jobs import Fetch
from containers_help import left

from klassd.workflows import App, Container, FileOutput, Http, Tcp, Workflow
from klassd.workflows.client import RunView
from klassd.workflows.containers.engine import Engine
from klassd.workflows.containers.words import Words
from klassd.workflows.executors.local import LocalExecutor
from klassd.workflows.executors.local.containers import engine_options
from klassd.workflows.options import Service
from klassd.workflows.order import ContainerSpec, Order
from klassd.workflows.stores.memory import MemoryStore

IMAGE = "localhost/klassd-test-shell:1"
SERVER = r"""
use IO::Socket::INET;
$| = 1;
$SIG{TERM} = sub { print "closed\n"; exit 0 };
my $server = IO::Socket::INET->new(LocalPort => 8080, Listen => 5) or die "no port";
while (my $client = $server->accept) {
    while (<$client>) { last if /^\s*$/ }
    print $client "HTTP/1.0 200 OK\r\n\r\nhello";
    close $client;
    exit 4 if @ARGV;
}
"""
ASK = r"""
use IO::Socket::INET;
my $server = IO::Socket::INET->new($ARGV[0]) or die "nobody is at $ARGV[0]";
print $server "GET / HTTP/1.0\r\n\r\n";
open my $out, ">", "/out/said";
print $out (<$server>)[-1];
"""
PROXY = r"""
use IO::Socket::INET;
$SIG{TERM} = sub { exit 0 };
$SIG{PIPE} = "IGNORE";
my ($behind, $port) = @ARGV;
my $server = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => $port, ReuseAddr => 1, Listen => 5) or die "no port";
while (my $client = $server->accept) {
    while (<$client>) { last if /^\s*$/ }
    my $asked = IO::Socket::INET->new($behind) or die "nobody is at $behind";
    print $asked "GET / HTTP/1.0\r\n\r\n";
    print $client $_ while <$asked>;
    close $client;
}
"""


def server(*args: str) -> Container:
    return Container(IMAGE, command=["/bin/perl", "-e", SERVER], args=args, key="server")


def finished(path: Path, flow: Workflow) -> tuple[RunView, list[str]]:
    """The run, and the console of its first node."""

    async def main() -> tuple[RunView, list[str]]:
        app, store = App(executor=LocalExecutor(str(path))), MemoryStore("memory:")
        async with app.scheduler(store), app.client(store) as client:
            run_id = await client.enqueue(flow)
            await client.wait(run_id)
            view = await client.view(run_id)
            return view, [line.text for line in await client.log(view.nodes[0].executions[0].id)]

    return asyncio.run(main())


def opened(gate: Path) -> BinaryIO:
    """For whoever reads, now or later; this side waits for nobody."""
    return open(gate, "r+b", buffering=0)


def test_it_is_found_by_jobs_and_by_images_under_its_address_and_taken_down(engine: Engine, tmp_path: Path) -> None:
    flow = Workflow("served")
    service = flow.service("server", server(), ready=Http("/"), port=8080)
    job = flow.add("job", Fetch(at=service.address))
    said = {"said": FileOutput("/out/said", format="text")}
    image = flow.add("image", Container(IMAGE, command=["/bin/perl", "-e", ASK], args=[service.address], outputs=said))
    flow.returns([job.output, image.outputs("said"), service.port])
    view, console = finished(tmp_path, flow)
    assert view.run.status == "succeeded", view.run.error
    *answers, port = view.run.output
    assert answers == ["hello", "hello"]
    assert view.nodes[0].address == f"127.0.0.1:{port}" and port != 8080
    assert (view.nodes[0].status, console) == ("succeeded", ["closed"])
    assert not left(engine, view.run.id)


def test_one_that_uses_another_itself_is_reached_at_its_own_port(engine: Engine, tmp_path: Path) -> None:
    flow = Workflow("served")
    behind = flow.service("behind", server(), ready=Http("/"), port=8080)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    front = Container(IMAGE, command=["/bin/perl", "-e", PROXY], args=[behind.address, port])
    service = flow.service("front", front, ready=Tcp(), port=port)
    flow.returns([flow.add("job", Fetch(at=service.address)).output, service.address])
    view, _ = finished(tmp_path, flow)
    assert view.run.output == ["hello", f"127.0.0.1:{port}"], view.run.error
    assert not left(engine, view.run.id)


def test_one_goes_on_under_the_next_scheduler_at_the_same_address(engine: Engine, tmp_path: Path) -> None:
    flow = Workflow("served")
    service = flow.service("server", server(), ready=Http("/"), port=8080)
    os.mkfifo(gate := tmp_path / "gate")
    flow.returns([flow.add("job", Fetch(at=service.address, gate=str(gate))).output, service.address])
    store = MemoryStore("memory:")

    async def main() -> RunView:
        async with App().client(store) as client:
            run_id = await client.enqueue(flow)
            async with App(executor=LocalExecutor(str(tmp_path))).scheduler(store):
                async for _ in client.changes():
                    if (executions := (await client.view(run_id)).nodes[1].executions) and executions[0].started_at:
                        break
            async with App(executor=LocalExecutor(str(tmp_path))).scheduler(store):
                with opened(gate):
                    await client.wait(run_id)
            return await client.view(run_id)

    view = asyncio.run(main())
    assert view.run.output == ["hello", view.nodes[0].address], view.run.error
    assert [(node.status, node.attempts) for node in view.nodes] == [("succeeded", 1)] * 2
    assert not left(engine, view.run.id)


def test_one_that_ends_early_fails_what_uses_it(engine: Engine, tmp_path: Path) -> None:
    flow = Workflow("served")
    service = flow.service("server", server("once"), ready=Http("/"), port=8080)
    flow.add("idle", Container(IMAGE, command=["/bin/sleep", "100"], grace=0.5), after=[service])
    view, _ = finished(tmp_path, flow)
    assert [node.status for node in view.nodes] == ["failed", "failed"]
    assert str(view.nodes[1].error).startswith("stopped: its service server failed: exit code 4")
    assert not left(engine, view.run.id)


def test_one_that_never_listens_is_not_ready_though_its_engine_may_listen_for_it(engine: Engine, tmp_path: Path) -> None:
    flow = Workflow("served")
    deaf = Container(IMAGE, command=["/bin/sleep", "100"], grace=0.5)
    service = flow.service("server", deaf, ready=Tcp(), port=8080, ready_within=3.0)
    flow.add("job", Fetch(at=service.address))
    view, _ = finished(tmp_path, flow)
    assert (view.nodes[0].executions[0].cause, view.nodes[1].status) == ("not_ready", "skipped")
    assert not left(engine, view.run.id)


def test_only_what_uses_a_service_shares_the_network_of_the_machine_and_only_a_service_gets_a_port_there() -> None:
    spec = ContainerSpec(image="tool")
    order = Order(execution_id="r-0-0-1", run_id="r", node="n", job="tool", source="s")

    def network(order: Order, program: str = "podman") -> list[str]:
        engine = Engine(f"/usr/bin/{program}")
        made = engine.create("c", spec, Words(), engine_options(engine, None, order), port=40_000)
        return [word for word in made if word.startswith(("--publish", "--network"))]

    assert network(order) == []
    service = Service(ready="tcp", port=80)
    served = msgspec.structs.replace(order, service=service)
    assert network(served) == ["--network=private", "--publish=127.0.0.1:40000:80"]
    assert network(served, "docker") == ["--network=bridge", "--publish=127.0.0.1:40000:80"]
    assert network(msgspec.structs.replace(order, uses_services=True)) == ["--network=host"]
    assert network(msgspec.structs.replace(order, uses_services=True, service=service)) == ["--network=host"]
