"""Memory that grows from attempt to attempt, through the real engine."""

from __future__ import annotations

from typing import Any

import pytest

from klassd.workflows import Grow, Job, JobContext, Resources, Retry, Workflow
from klassd.workflows.model.states import RunStatus
from klassd.workflows.options import Needs
from klassd.workflows.testing import VirtualEngine


class Train(Job, resources=Resources(memory="64Mi/128Mi"), retry=Retry(0, on={"oom": Grow(memory=2, max="512Mi")})):
    def run(self, ctx: JobContext) -> int:
        return ctx.attempt


class Unlimited(Job, retry=Retry(0, infrastructure=1, on={"oom": Grow(max="512Mi")})):
    def run(self, ctx: JobContext) -> int:
        return ctx.attempt


def orders(engine: VirtualEngine) -> list[str | None]:
    """The memory that was asked for, attempt by attempt."""
    pods = [each.order.pod for each in engine._executor.executions.values()]
    return [pod.resources.memory if pod and pod.resources else None for pod in pods]


def test_a_killed_attempt_is_followed_by_one_with_more_memory() -> None:
    with VirtualEngine(kill={"train": ["oom", "oom"]}) as engine:
        flow = Workflow("flow")
        flow.add("train", Train())
        run = engine.enqueue(flow)
        engine.finish(run)
        assert (run.status, run.node("train").attempts) == (RunStatus.SUCCEEDED, 3)
        assert orders(engine) == ["64Mi/128Mi", "128Mi/256Mi", "256Mi/512Mi"]
        assert str(run.node("train").executions[0].error).endswith("; the next attempt gets 256Mi")


@pytest.mark.parametrize("restarted", [False, True])
def test_one_that_had_all_it_may_have_is_the_last_and_says_so(restarted: bool) -> None:
    with VirtualEngine(kill={"train": ["oom", "oom", "oom"]}) as engine:
        flow = Workflow("flow")
        flow.add("train", Train())
        run = engine.enqueue(flow)
        if restarted:
            engine.restart()
        engine.finish(run)
        assert run.status is RunStatus.FAILED
        assert orders(engine) == ["64Mi/128Mi", "128Mi/256Mi", "256Mi/512Mi"]
        assert "all it may grow to (max='512Mi'), so it is not tried again" in str(run.node("train").error)


def test_without_a_limit_there_is_nothing_to_grow_and_it_is_said() -> None:
    with VirtualEngine(kill={"a": ["oom", "oom"]}) as engine:
        flow = Workflow("flow")
        flow.add("a", Unlimited())
        run = engine.enqueue(flow)
        engine.finish(run)
        assert (run.status, run.node("a").attempts) == (RunStatus.FAILED, 2)
        assert "there is no memory limit that could grow" in str(run.node("a").error)
        assert orders(engine) == [None, None]


def test_a_node_that_is_given_more_than_its_job_grows_from_there() -> None:
    options: dict[str, Any] = {"resources": Resources(memory="/300Mi")}
    with VirtualEngine(kill={"train": ["oom"]}) as engine:
        flow = Workflow("flow")
        flow.add("train", Train(), **options)
        engine.finish(engine.enqueue(flow))
        assert orders(engine) == ["64Mi/300Mi", "128Mi/512Mi"]


def test_what_is_needed_besides_memory_stays() -> None:
    options: dict[str, Any] = {"resources": Resources(cpu="2")}
    with VirtualEngine(kill={"train": ["oom"]}) as engine:
        flow = Workflow("flow")
        flow.add("train", Train(), **options)
        engine.finish(engine.enqueue(flow))
        last = list(engine._executor.executions.values())[-1].order.pod
        assert last and last.resources == Needs(cpu="2", memory="128Mi/256Mi")
