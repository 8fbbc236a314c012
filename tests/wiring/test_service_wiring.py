"""``Workflow.service``: what it makes, and what is said of mistakes."""

from __future__ import annotations

from typing import Any

import pytest

from klassd.workflows import Container, FileOutput, Http, InvalidWorkflow, Job, JobContext, Tcp, Workflow
from klassd.workflows.errors import ConfigurationError
from klassd.workflows.model.workflow import Node
from klassd.workflows.options import Service
from klassd.workflows.references import ReferenceMisuse


class Take(Job):
    anything: Any = None

    def run(self, ctx: JobContext) -> str:
        return ""


class Hasty(Job, timeout="5m"):
    def run(self, ctx: JobContext) -> None: ...


def built(wf: Workflow) -> dict[str, Node]:
    return {node.name: node for node in wf.definition().nodes}


def test_a_service_is_a_node_with_its_probe_a_time_to_be_ready_in_and_a_backstop() -> None:
    wf = Workflow("w")
    wf.add("a", Take(), after=[wf.service("db", Take(), ready=Http("/health"), port=0, ready_within="90s")])
    wf.add("b", Take(), after=[wf.service("hasty", Hasty(), ready=Tcp(), port=80), wf.service("plain", Take())])
    nodes = built(wf)
    assert nodes["db"].service == Service(ready="http", path="/health", port=0, ready_within=90.0)
    assert nodes["hasty"].service == Service(ready="tcp", port=80, ready_within=300.0)
    assert nodes["plain"].service == Service(ready_within=300.0)
    assert [nodes[name].options.timeout for name in ("db", "hasty")] == [86400.0, 300.0]


def test_its_address_its_host_and_its_port_are_data_that_makes_an_edge() -> None:
    wf = Workflow("w")
    db = wf.service("db", Take(), port=5432)
    wf.add("a", Take(anything=[db.address, {"host": db.host, "port": db.port}]))
    node = built(wf)["a"]
    part = {name: {"$ref": "db", "service": name, "path": []} for name in ("address", "host", "port")}
    assert node.needs == ("db",)
    assert node.inputs["anything"] == [part["address"], {"host": part["host"], "port": part["port"]}]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"port": 70000}, r"service 'db': port is 70000: expected a port from 1 to 65535, or 0 for a free one"),
        ({"port": "80"}, r"service 'db': port is '80': expected a port"),
        ({"ready": "tcp"}, r"service 'db': ready is 'tcp': expected Tcp\(\), Http\('/path'\), or None for a signal"),
        ({"ready": Http("health")}, r"service 'db': ready is Http\(path='health'\): expected a path such as '/health'"),
        ({"ready": Http("/a\r\nX: y")}, r"expected a path such as '/health'"),
        ({"ready_within": "soon"}, r"service 'db': ready_within is 'soon': expected text such as '30s'"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_where_it_is_given(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Workflow("w").service("db", Take(), **options)


def test_an_image_is_a_service_with_its_probe_and_its_port() -> None:
    wf = Workflow("w")
    wf.add("a", Take(), after=[wf.service("db", Container("postgres:16"), ready=Tcp(), port=5432)])
    assert built(wf)["db"].service == Service(ready="tcp", port=5432, ready_within=300.0)
    assert built(wf)["db"].options.timeout == 86400.0


@pytest.mark.parametrize(
    ("container", "options", "message"),
    [
        ({}, {"port": 5432}, r"which cannot signal: expected ready=Tcp\(\) or ready=Http\('/path'\)"),
        ({}, {"ready": Tcp()}, r"port is None: expected the port that it listens at, from 1 to 65535"),
        ({}, {"ready": Tcp(), "port": 0}, r"port is 0: expected the port that it listens at"),
        ({"outputs": {"a": FileOutput("/out/a")}}, {"ready": Tcp(), "port": 80}, r"with file outputs: expected none"),
    ],
)
def test_an_image_that_nobody_could_ask_or_stop_in_peace_is_refused_with_what_it_takes(
    container: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"service 'db' is the image postgres:16.*{message}"):
        Workflow("w").service("db", Container("postgres:16", **container), **options)


def test_what_a_service_does_not_have_is_said_with_what_it_has() -> None:
    db: Any = Workflow("w").service("db", Take())
    with pytest.raises(AttributeError, match=r"<service 'db'> has no output: it gives its .address, .host and .port"):
        _ = db.output
    with pytest.raises(AttributeError, match=r"<service 'db'> has no 'succeeded': it ends after all that use it; after="):
        _ = db.succeeded
    with pytest.raises(AttributeError, match=r"<service 'db'> has no 'adress': it has .address, .host, .port and .failed"):
        _ = db.adress
    with pytest.raises(ReferenceMisuse, match=r"when= takes db.failed"):
        bool(db)


def test_wiring_mistakes_with_a_service_are_told_together() -> None:
    wf = Workflow("w")
    db: Any = wf.service("db", Take())
    wf.service("idle", Take())
    wf.add("a", Take(anything=[db]))
    wf.map("each", lambda item: Take(anything=item), over=db)
    wf.map("letters", lambda item: Take(anything=item), over=db.address)
    with pytest.raises(InvalidWorkflow) as caught:
        wf.definition()
    told = "\n".join(caught.value.problems)
    assert "node 'a': field 'anything[0]': <service 'db'> is the node itself; its value is .address" in told
    assert "node 'idle': nothing uses this service, so it would be stopped at once: pass on its address, or after=[...]" in told
    assert "node 'each': over= must be a list or a reference to one, got <service 'db'>" in told
    assert "node 'letters': over= must be a list; db.address is of type str" in told
