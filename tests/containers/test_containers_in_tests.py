"""Workflows with images in plain tests: nothing runs the image, so the test says what comes of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from klassd.workflows import Container, FileOutput, JobContext, Retry, Tcp, Workflow
from klassd.workflows.errors import ContainerFailed
from klassd.workflows.testing import VirtualEngine, run_job, run_workflow

ROWS = {"rows": FileOutput("/out/rows.json"), "name": FileOutput("/out/name", default="none", format="text")}


def flow(**options: Any) -> Workflow:
    found = Workflow("images")
    first = found.add("first", Container("importer", args=["--all"], outputs=ROWS, **options))
    each = found.map(
        "each", lambda row: Container("sum", args=[row], outputs={"sum": FileOutput("/o/s")}), over=first.output["rows"]
    )
    found.returns([first.output, each.outputs("sum")])
    return found


def test_the_test_says_which_files_an_image_leaves_and_others_have_their_defaults() -> None:
    stubs = {"first": {"rows": [1, 2]}, "each": lambda container, ctx: {"sum": container.args[0] * 10}}
    result = run_workflow(flow(), stubs=stubs)
    assert result.succeeded and result.output == [{"rows": [1, 2], "name": "none"}, [10, 20]]


def test_a_file_that_the_test_leaves_out_and_that_has_no_default_fails_it_as_the_real_one_would() -> None:
    result = run_workflow(flow(), stubs={"first": {}, "each": {}})
    (attempt,) = result.nodes["first"].executions
    assert attempt.cause == "output" and "there is no file /out/rows.json" in str(attempt.error)


def test_an_image_that_nobody_stands_in_for_says_how_to() -> None:
    result = run_workflow(flow(), stubs={"each": {}})
    assert "node 'first' runs the image importer, which a test cannot" in str(result.error)
    assert "stubs={'first': {'name': 'none', 'rows': 0}}" in str(result.error)
    assert "which a test cannot" in str(run_job(Container("importer")).error)


def served() -> Workflow:
    found = Workflow("served")
    db = found.service("db", Container("postgres:16"), ready=Tcp(), port=5432)
    load = found.add("load", Container("load", args=[db.address], outputs={"rows": FileOutput("/out/rows")}))
    found.returns(load.output["rows"])
    return found


def test_a_service_that_is_stood_in_for_is_up_until_nothing_uses_it() -> None:
    result = run_workflow(served(), stubs={"db": None, "load": lambda container, ctx: {"rows": container.args[0]}})
    assert result.output == "127.0.0.1:5432"
    assert [result.nodes[name].status for name in ("db", "load")] == ["succeeded", "succeeded"]


def test_a_service_that_never_comes_up_is_tried_again_and_then_nothing_uses_it() -> None:
    flow = Workflow("served")
    db = flow.service("db", Container("postgres:16", retry=Retry(1)), ready=Tcp(), port=5432)
    flow.add("load", Container("load", args=[db.address]))
    result = run_workflow(flow, stubs={"db": None, "load": None}, fail={"db": ContainerFailed("exit code 3")})
    assert (result.nodes["db"].attempts, result.nodes["load"].status) == (2, "skipped")
    assert result.error == "db failed: exit code 3"
    again = run_workflow(flow, stubs={"db": None, "load": None}, fail={"db": 1})
    assert (again.status, again.nodes["db"].attempts, again.nodes["load"].attempts) == ("succeeded", 2, 1)


@pytest.mark.fault("F15")
def test_a_service_stays_up_when_another_scheduler_takes_over() -> None:
    async def load(container: Container, ctx: JobContext) -> dict[str, Any]:
        await asyncio.sleep(60)
        return {"rows": 3}

    with VirtualEngine(stubs={"db": None, "load": load}) as engine:
        run = engine.enqueue(served())
        engine.advance(seconds=10)
        engine.restart()
        assert run.node("db").status == "ready"
        assert engine.finish(run).output == 3
        assert (run.node("db").status, run.node("db").attempts) == ("succeeded", 1)


def test_a_service_that_nobody_stands_in_for_says_how_to() -> None:
    result = run_workflow(served(), stubs={"load": {"rows": 1}})
    assert "node 'db' runs the image postgres:16, which a test cannot: say that it is up with stubs={'db': None}" in str(
        result.error
    )


def test_an_output_it_does_not_have_is_a_mistake_of_the_test() -> None:
    result = run_workflow(flow(), stubs={"first": {"raws": 1}, "each": {}})
    assert "gives the output 'raws'; its file outputs are 'name', 'rows'" in str(result.error)


@pytest.mark.parametrize("code", [3, 137])
def test_exit_codes_are_scripted_as_failures_and_retried_as_ever(code: int) -> None:
    def fails_once(container: Any, ctx: Any) -> dict[str, Any]:
        if ctx.attempt == 1:
            raise ContainerFailed(f"exit code {code}", exit_code=code)
        return {"rows": []}

    result = run_workflow(flow(retry=Retry(1)), stubs={"first": fails_once, "each": {}})
    first, second = result.nodes["first"].executions
    assert (first.cause, first.error) == ("exit", f"exit code {code}")
    assert second.output == {"rows": [], "name": "none"} and result.succeeded
