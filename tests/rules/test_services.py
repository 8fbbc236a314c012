"""One service after the other: when it starts, what waits for it, when it is stopped, and what its early end means."""

from __future__ import annotations

from typing import Any

import pytest
from rules_world import EVICTED, FAILURE, FOR_GOOD, STOPPED, SUCCESS, World, node, ref, workflow

from klassd.workflows.model.states import Cause, ExecutionStatus, NodeStatus, RunStatus
from klassd.workflows.model.workflow import Definition, Node, Outcome
from klassd.workflows.options import Service
from klassd.workflows.rules import graph
from klassd.workflows.rules.advance import Begun, Cancelled, Delta, TaskEnded, TaskReady
from klassd.workflows.rules.inputs import ResolveError, joined, parted, resolve
from klassd.workflows.rules.reasons import why_not_running, why_run_not_done
from klassd.workflows.rules.services import judged
from klassd.workflows.rules.services import users as users_of


def service(name: str, *needs: str, **fields: Any) -> Node:
    return node(name, *needs, service=Service(), **fields)


def of(name: str, part: str = "address") -> dict[str, Any]:
    return {"$ref": name, "service": part, "path": []}


def begun(*nodes: Node, fate: Any = (SUCCESS, 1), **fates: Any) -> World:
    """``fates``: by node, or by node and attempt as ``a_1``."""
    world = World(workflow(*nodes), lambda name, _, attempt: fates.get(f"{name}_{attempt}", fates.get(name, fate)))
    world.send(Begun())
    return world


def end(world: World, name: str) -> Delta:
    (place,) = [place for place, task in enumerate(world.live) if task[0] == name]
    return world.end(place)


def started(delta: Delta) -> list[tuple[str, int, int]]:
    return [(start.node, start.index, start.attempt) for start in delta.started]


def test_what_needs_a_service_starts_when_it_is_ready_and_gets_its_address() -> None:
    world = begun(
        service("db"), node("load", "db", inputs={"at": of("db"), "host": of("db", "host"), "port": of("db", "port")})
    )
    assert [task[0] for task in world.live] == ["db"]
    assert why_not_running(world.state, "load") == "waiting for db to be ready"
    assert started(world.make_ready("db")) == [("load", 0, 1)]
    assert resolve(world.state, "load", 0) == {"at": "db:1", "host": "db", "port": 1}
    assert (why_not_running(world.state, "db"), why_run_not_done(world.state)) == ("", "running db, load")


def test_a_service_that_nothing_can_use_any_more_is_stopped_and_has_succeeded() -> None:
    world = begun(service("db"), node("load", "db"), db=(STOPPED, None))
    world.make_ready("db")
    delta = end(world, "load")
    assert delta.stop == (("db", 0, 1),)
    assert world.state.status is RunStatus.RUNNING, "a run ends only after its services"
    delta = end(world, "db")
    assert world.statuses == {"db": NodeStatus.SUCCEEDED, "load": NodeStatus.SUCCEEDED}
    assert delta.run is not None and delta.run.status is RunStatus.SUCCEEDED
    assert world.rows.nodes["db"].address == "db:1"


def test_a_service_is_kept_for_the_retries_of_what_uses_it() -> None:
    world = begun(service("db"), node("load", "db", retries=1), load_1=(FAILURE, None))
    world.make_ready("db")
    assert not end(world, "load").stop
    assert end(world, "load").stop == (("db", 0, 1),)


def test_a_service_is_kept_for_what_may_have_got_its_address_through_data_and_not_for_what_only_comes_after() -> None:
    definition = workflow(
        service("db"),
        node("load", "db"),
        node("check", "load", inputs={"loaded": ref("load")}),
        node("each", "check", over=ref("check", "items")),
        node("report", "each"),
    )
    assert users_of(definition) == {"db": {"load", "check", "each"}}


def test_a_service_before_it_is_ready_is_tried_again_and_afterwards_not() -> None:
    world = begun(
        service("db", retries=1), node("load", "db"), db_1=(FAILURE, None), db_2=(FAILURE, None), load=(STOPPED, None)
    )
    assert started(end(world, "db")) == [("db", 0, 2)]
    world.make_ready("db")
    delta = end(world, "db")
    assert (started(delta), world.statuses["db"]) == ([], NodeStatus.FAILED)


def test_a_service_that_ends_by_itself_has_failed_however_well_it_ended() -> None:
    world = begun(service("db"), node("load", "db"))
    world.end()
    assert world.statuses == {"db": NodeStatus.FAILED, "load": NodeStatus.SKIPPED}
    assert world.rows.run.error == "db failed: it ended by itself before it was ready"


@pytest.mark.fault("F15")
def test_when_a_service_dies_what_runs_with_it_is_stopped_and_fails_naming_it_and_what_waits_is_skipped() -> None:
    world = begun(service("db"), node("load", "db", retries=3), node("other"), node("late", "db", "other"), db=(FOR_GOOD, None))
    world.make_ready("db")
    assert end(world, "db").stop == (("load", 0, 1),)
    world.script = lambda *task: (STOPPED, None)
    end(world, "load")
    assert world.rows.nodes["load"].error == "stopped: its service db failed: PermanentError: no"
    row = world.rows.executions["run-1-0-1"]
    assert (row.status, row.cause) == (ExecutionStatus.FAILED, Cause.SERVICE)
    world.script = lambda *task: (SUCCESS, None)
    end(world, "other")
    assert world.statuses["late"] is NodeStatus.SKIPPED
    assert world.rows.run.status is RunStatus.FAILED
    assert world.rows.run.error == "db and load failed: db: PermanentError: no"


@pytest.mark.fault("F15")
@pytest.mark.parametrize("verdict", [FAILURE, EVICTED], ids=["its own failure", "the machine's"])
def test_what_failed_after_its_service_had_died_is_not_tried_again(verdict: Any) -> None:
    world = begun(service("db"), node("load", "db", retries=3, machine=3), db=(FOR_GOOD, None))
    world.make_ready("db")
    end(world, "db")
    world.live.clear()
    delta = world.send(TaskEnded("load", 0, 1, judged(world.state, "load", verdict)))
    assert not started(delta)
    assert (world.rows.nodes["load"].error or "").endswith("; its service db failed: PermanentError: no")


def test_what_had_succeeded_before_it_heard_of_its_services_death_has_succeeded() -> None:
    world = begun(service("db"), node("load", "db"), db=(FOR_GOOD, None))
    world.make_ready("db")
    end(world, "db")
    end(world, "load")
    assert (world.statuses["load"], world.state.status) == (NodeStatus.SUCCEEDED, RunStatus.FAILED)


def test_a_fan_out_whose_service_died_starts_no_more_items_and_says_how_many() -> None:
    world = begun(service("db"), node("each", "db", over=[1, 2, 3], max_parallel=1), db=(FOR_GOOD, None))
    world.make_ready("db")
    end(world, "each")
    end(world, "db")
    world.script = lambda *task: (STOPPED, None)
    assert not started(end(world, "each"))
    assert world.rows.nodes["each"].error == "1 of 3 items not run: its service db failed: PermanentError: no"


def test_a_node_that_handles_a_services_failure_does_not_rely_on_it() -> None:
    world = begun(service("db"), node("load", "db"), node("page", "db", when=Outcome("db", "failed")), db=(FOR_GOOD, None))
    assert started(world.end()) == [("page", 0, 1)]
    end(world, "page")
    assert (world.statuses["load"], world.state.status) == (NodeStatus.SKIPPED, RunStatus.SUCCEEDED)


def test_a_service_of_a_service_outlives_it() -> None:
    world = begun(service("db"), service("api", "db"), node("load", "api"), fate=(STOPPED, None), load=(SUCCESS, None))
    world.make_ready("db")
    world.make_ready("api")
    assert end(world, "load").stop == (("api", 0, 1),)
    assert end(world, "api").stop == (("db", 0, 1),)
    end(world, "db")
    assert set(world.statuses.values()) == {NodeStatus.SUCCEEDED}


@pytest.mark.fault("F15")
def test_the_death_of_a_service_takes_the_service_that_needs_it_along() -> None:
    world = begun(service("db"), service("api", "db"), node("load", "api"), fate=(FOR_GOOD, None))
    world.make_ready("db")
    world.make_ready("api")
    assert end(world, "db").stop == (("api", 0, 1),)
    world.script = lambda *task: (STOPPED, None)
    assert end(world, "api").stop == (("load", 0, 1),)
    end(world, "load")
    assert (world.rows.nodes["load"].error or "").startswith("stopped: its service api failed: stopped: its service db failed")


def test_a_cancelled_run_stops_what_uses_a_service_first() -> None:
    world = begun(service("db"), node("load", "db"), fate=(STOPPED, None))
    world.make_ready("db")
    assert world.send(Cancelled()).stop == (("load", 0, 1),)
    assert end(world, "load").stop == (("db", 0, 1),)
    end(world, "db")
    assert (world.statuses["db"], world.state.status) == (NodeStatus.SUCCEEDED, RunStatus.CANCELLED)


def test_a_cancelled_run_stops_a_service_at_once_that_is_not_ready_yet() -> None:
    world = begun(service("db"), node("load", "db"), fate=(STOPPED, None))
    assert world.send(Cancelled()).stop == (("db", 0, 1),)
    assert world.make_ready("db").empty, "too late"
    end(world, "db")
    assert set(world.statuses.values()) == {NodeStatus.CANCELLED}


@pytest.mark.fault("A8")
def test_a_new_owner_knows_the_address_and_stops_what_is_of_no_use() -> None:
    world = begun(service("db"), node("load", "db", inputs={"at": of("db")}), db=(STOPPED, None))
    world.make_ready("db")
    world.crash()
    assert resolve(world.state, "load", 0) == {"at": "db:1"}
    end(world, "load")
    world.crash()
    assert world.decisions[-1].stop == (("db", 0, 1),)
    assert world.make_ready("db").empty, "a second time"


@pytest.mark.parametrize(
    ("nodes", "problem"),
    [
        ([service("db"), node("a")], "nothing uses this service, so it would be stopped at once"),
        ([service("db", over=[1]), node("a", "db")], "a service is one execution and cannot be fanned out"),
        ([service("db"), node("a", "db", inputs={"x": ref("db")})], "'db' is a service and has no output"),
        ([node("db"), node("a", "db", inputs={"x": of("db")})], "'db' is no service and has no address"),
        ([service("db"), node("a", "db", inputs={"x": of("db", "colour")})], "'colour' is no part of a service"),
        ([service("db"), node("a", "db", when=Outcome("db", "succeeded"))], "succeeds only after all that use it"),
        ([node("db", service=Service(ready="tcp")), node("a", "db")], "its readiness is asked for at a port: give it port="),
    ],
)
def test_what_is_wrong_with_a_service_is_said_before_anything_runs(nodes: list[Node], problem: str) -> None:
    assert any(problem in each for each in graph.problems(workflow(*nodes))), graph.problems(workflow(*nodes))


def test_a_service_that_told_no_port_has_none_to_give() -> None:
    world = begun(service("db"), node("load", "db", inputs={"port": of("db", "port")}))
    world.send(TaskReady("db", 1, "10.0.0.1"))
    with pytest.raises(
        ResolveError, match=r"db.port is not known: the service told only that it is at 10.0.0.1; give it port="
    ):
        resolve(world.state, "load", 0)


@pytest.mark.parametrize("address", [("10.0.0.1", 80), ("10.0.0.1", None), ("::1", 80), ("fd00::1:2", None), ("db", 1)])
def test_an_address_is_parted_into_what_it_was_made_of(address: tuple[str, int | None]) -> None:
    assert parted(joined(*address)) == address


def test_a_definition_with_a_service_is_read_back_as_it_was_written() -> None:
    from klassd.workflows.model.workflow import definition_from

    definition = Definition("flow", (service("db"), node("load", "db")))
    assert definition_from(definition.encoded()) == definition
