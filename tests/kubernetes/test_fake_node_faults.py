"""The executor on a cluster whose node, controllers or people interfere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fake_api import NEW, OLD, Release
from fake_api.containers import Container, Ended
from fake_api.scripted import Speaker, idle, scripted
from fake_help import Fake, a_fake, an_order, lines_and_success, lines_until_stopped, told, waits
from outcomes import came_to

from klassd.workflows.executors.kubernetes import follower, guard, view
from klassd.workflows.model.states import Cause, ExecutionStatus
from klassd.workflows.options import Service
from klassd.workflows.order import ContainerSpec, FileSpec, Order
from klassd.workflows.ports import Executor
from klassd.workflows.testing.executors import Heard, hear, opened, run


@pytest.fixture(params=[OLD, NEW], ids=lambda release: release.name)
def fake(request: pytest.FixtureRequest) -> Iterator[Fake]:
    release: Release = request.param
    with a_fake(release, lines_and_success(3)) as found:
        yield found


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "RETRY", 0.1)
    monkeypatch.setattr(view, "SHORT", 0.0)
    monkeypatch.setattr(follower, "REOPEN", 0.05)
    monkeypatch.setattr(guard, "AGAIN", 0.05)


def running(fake: Fake, runtime: Any) -> None:
    fake.on_node(lambda kubelet: setattr(kubelet, "runtime", runtime))


def the_pod(fake: Fake) -> Any:
    return fake.api.parts.storage.all("pods")[0]


# -- nodes ------------------------------------------------------------------------------------------------------------


@pytest.mark.fault("E12")
def test_a_pod_that_is_gone_before_its_console_was_read_is_told_by_its_status(fake: Fake) -> None:
    """Its message has the outcome; what its console held is marked as missing."""

    async def script(speaker: Speaker) -> Ended:
        speaker.line("line 0")
        ended = speaker.end()
        speaker.container.console.rotate(keep=0)
        return ended

    running(fake, scripted(script))
    heard = told(fake, an_order())
    assert came_to(heard).status is ExecutionStatus.SUCCEEDED
    assert any(b'"gap":true' in chunk.data for chunk in heard.chunks) and not heard.started


@pytest.mark.fault("E13")
def test_a_kubelet_that_restarts_is_not_noticed(fake: Fake) -> None:
    async def meanwhile(executor: Executor) -> None:
        await fake.starts(wanted)
        fake.on_node(lambda kubelet: setattr(kubelet, "lost", True))
        await asyncio.sleep(0.2)
        fake.on_node(lambda kubelet: kubelet.found_again())

    wanted = an_order()
    running(fake, idle(0.4))
    heard = told(fake, wanted, meanwhile)
    assert came_to(heard).status is ExecutionStatus.SUCCEEDED and heard.started == 1


@pytest.mark.fault("E14", "E15")
def test_of_a_pod_on_a_lost_node_nothing_is_told_until_the_node_is_back(fake: Fake) -> None:
    """It may run on: no end, no twin. Once its node is back it is told to end, and that is what is told."""

    spoken = asyncio.Event()

    async def check() -> Heard:
        async with opened(fake.executor()) as executor:
            await executor.launch(wanted)
            hearing = asyncio.create_task(hear(executor, wanted.execution_id, heed=lambda heard: heard.lines and spoken.set()))
            await spoken.wait()
            fake.on_node(lambda kubelet: setattr(kubelet, "lost", True))
            name = fake.pod(wanted)["metadata"]["name"]
            await asyncio.to_thread(fake.delete, f"/api/v1/namespaces/{{}}/pods/{name}")  # as a cluster does after five minutes
            await fake.happens(lambda: fake.job(wanted)["spec"]["parallelism"] == 0, "a Job that wants no twin")
            assert fake.pod(wanted)["status"]["phase"] == "Running" and not hearing.done()
            fake.on_node(lambda kubelet: kubelet.found_again())
            return await hearing

    wanted = an_order()
    running(fake, lines_until_stopped(1))
    heard = run(check, 30.0)
    found = came_to(heard)
    assert (found.status, found.infrastructure) == (ExecutionStatus.FAILED, True), found
    assert heard.started == 1 and heard.lines == ["line 0"]


@pytest.mark.fault("E16")
@pytest.mark.parametrize("way", ["memory", "preemption", "shutdown"])
def test_a_pod_that_its_node_ends_is_told_with_the_reason_and_can_be_tried_again(fake: Fake, way: str) -> None:
    async def meanwhile(executor: Executor) -> None:
        await fake.starts(wanted)
        if way == "memory":
            fake.on_node(lambda kubelet: kubelet.evict(the_pod(fake)))
        elif way == "shutdown":
            fake.on_node(
                lambda kubelet: kubelet.evict(the_pod(fake), "Terminated", "Pod was terminated in response to shutdown.")
            )
        else:
            fake.on_node(lambda kubelet: kubelet.disrupt(the_pod(fake), "PreemptionByScheduler", "preempting to fit another"))
            await asyncio.to_thread(fake.delete, f"/api/v1/namespaces/{{}}/pods/{the_pod(fake)['metadata']['name']}")

    wanted = an_order()
    running(fake, lines_until_stopped(1))
    found = came_to(told(fake, wanted, meanwhile))
    assert (found.cause, found.infrastructure, found.retry) == (Cause.EVICTED, True, True), found.message
    words = {"memory": "low on resource", "preemption": "Preemption", "shutdown": "shutdown"}
    assert words[way] in str(found.message)


@pytest.mark.fault("E30")
@pytest.mark.parametrize("hours", [-1, 1])
def test_a_node_whose_clock_is_wrong_changes_no_order_and_loses_nothing(fake: Fake, hours: int) -> None:
    fake.on_node(lambda kubelet: setattr(kubelet, "clock", lambda: time.time_ns() + hours * 3600 * 10**9))
    running(fake, lines_and_success(50))
    heard = told(fake, an_order(), start_deadline="1m")
    assert heard.lines == [f"line {number}" for number in range(50)]
    assert came_to(heard).status is ExecutionStatus.SUCCEEDED


# -- controllers and people -------------------------------------------------------------------------------------------


@pytest.mark.fault("A13", "E22")
def test_a_job_keeps_until_its_outcome_is_stored_and_then_goes_by_its_time_to_live(fake: Fake) -> None:
    async def check() -> Any:
        wanted = an_order()
        async with opened(fake.executor()) as executor:
            await executor.launch(wanted)
            await fake.happens(lambda: fake.phases(wanted) == ["Succeeded"], "its end")
            (job,) = fake.jobs(wanted.execution_id)
            assert "ttlSecondsAfterFinished" not in job["spec"]
            heard = await hear(executor, wanted.execution_id)
            await executor.reap(wanted.execution_id)
            (job,) = fake.jobs(wanted.execution_id)
            assert job["spec"]["ttlSecondsAfterFinished"] == 3600
            return heard

    assert came_to(run(check, 30.0)).status is ExecutionStatus.SUCCEEDED


@pytest.mark.fault("A13", "E22")
@pytest.mark.parametrize(("kind", "words"), [("jobs", "nothing is known"), ("pods", "gone with its result")])
def test_a_job_or_a_pod_that_was_removed_before_we_looked_is_told_as_such(fake: Fake, kind: str, words: str) -> None:
    """By somebody, or by the cluster's own collector of pods that ended."""

    async def check() -> Any:
        wanted = an_order()
        async with opened(fake.executor()) as executor:
            await executor.launch(wanted)
            await fake.happens(lambda: fake.job(wanted).get("status", {}).get("succeeded") == 1, "its end")
        group = "/apis/batch/v1" if kind == "jobs" else "/api/v1"
        (found,) = fake.jobs(wanted.execution_id) if kind == "jobs" else fake.pods(wanted.execution_id)
        path = f"{group}/namespaces/{{}}/{kind}/{found['metadata']['name']}"
        await asyncio.to_thread(fake.delete, path, propagationPolicy="Background")
        await fake.happens(lambda: not fake.pods(wanted.execution_id), "the end of its pod")
        async with opened(fake.executor()) as executor:
            return await hear(executor, wanted.execution_id)

    heard = run(check, 30.0)
    assert heard.lost and words in heard.finished.exit.message


@pytest.mark.fault("E23")
def test_a_second_pod_of_an_attempt_is_not_followed_and_no_end_is_told_while_it_lives(fake: Fake) -> None:
    """It is the start-claim that keeps it from working; the executor follows the first and waits for both to end."""

    async def meanwhile(executor: Executor) -> None:
        await fake.happens(lambda: len(fake.pods(wanted.execution_id)) == 2, "two pods")
        fake.api.do(lambda: setattr(fake.api.parts.jobs, "twin", False))
        await executor.stop(wanted.execution_id, 1.0)

    wanted = an_order()
    fake.api.do(lambda: setattr(fake.api.parts.jobs, "twin", True))
    running(fake, lines_until_stopped(2))
    heard = told(fake, wanted, meanwhile, after="line 1")
    assert heard.lines == ["line 0", "line 1"] and heard.started == 1
    assert all(pod["status"]["phase"] in ("Succeeded", "Failed") for pod in fake.pods(wanted.execution_id))


@pytest.mark.fault("E25")
@pytest.mark.parametrize("native", [False, True])
def test_a_sidecar_that_is_injected_does_not_hold_up_the_outcome(fake: Fake, native: bool) -> None:
    def inject(resource: str, item: dict[str, Any]) -> None:
        if resource == "jobs":
            spec = item["spec"]["template"]["spec"]
            proxy = {"name": "istio-proxy", "image": "proxy:1"}
            if native:
                spec["initContainers"] = [{**proxy, "restartPolicy": "Always"}]
            else:
                spec["containers"] = [proxy, *spec["containers"]]

    fake.faults.mutate = inject
    wanted = an_order()
    assert came_to(told(fake, wanted)).status is ExecutionStatus.SUCCEEDED
    fake.until(lambda: all(pod["status"]["phase"] != "Running" for pod in fake.pods(wanted.execution_id)), "no proxy left")


@pytest.mark.fault("E25")
def test_a_sidecar_that_fails_does_not_spoil_the_outcome(fake: Fake) -> None:
    def inject(resource: str, item: dict[str, Any]) -> None:
        if resource == "jobs":
            item["spec"]["template"]["spec"]["containers"].append({"name": "broken", "image": "broken:1"})

    async def one_fails(container: Container) -> Ended:
        return Ended(1) if container.name == "broken" else await lines_and_success(3)(container)

    fake.faults.mutate = inject
    running(fake, one_fails)
    assert came_to(told(fake, an_order())).status is ExecutionStatus.SUCCEEDED


def test_an_image_that_is_no_service_in_time_is_stopped_and_told_so(fake: Fake) -> None:
    running(fake, lines_until_stopped(1))
    service = Service(ready="tcp", port=5432, ready_within=0.5)
    heard = told(fake, an_order(container=ContainerSpec(image="db:1"), service=service))
    assert came_to(heard).cause is Cause.NOT_READY


def test_an_image_that_was_stopped_for_not_being_ready_is_told_so_though_nobody_saw_it_end() -> None:
    """A kubelet may remove a pod before it has said how its container ended."""

    async def meanwhile(executor: Executor) -> None:
        fake.on_node(lambda kubelet: setattr(kubelet, "edit", lambda *_: None))
        await fake.happens(lambda: any(map(_leaves, fake.pods(wanted.execution_id))), "its stop")
        path = f"/api/v1/namespaces/{{}}/pods/{fake.pod(wanted)['metadata']['name']}"
        await asyncio.to_thread(fake.delete, path, gracePeriodSeconds=0)

    wanted = an_order(container=ContainerSpec(image="db:1"), service=Service(ready="tcp", port=5432, ready_within=1.0))
    with a_fake(OLD, lines_until_stopped(1)) as fake:
        found = came_to(told(fake, wanted, meanwhile, after="line 0"))
    assert (found.status, found.cause) == (ExecutionStatus.FAILED, Cause.NOT_READY), found


@pytest.mark.fault("E18")
def test_files_that_nobody_can_read_because_the_image_for_that_is_not_there_fail_it_in_time(fake: Fake) -> None:
    async def image(container: Container) -> Ended:
        return Ended(0)

    running(fake, image)
    spec = ContainerSpec(image="tool:1", outputs={"rows": FileSpec(path="/out/rows.json")})
    heard = told(fake, an_order(container=spec, start_deadline=0.5), image="invalid:1")
    found = came_to(heard)
    assert (found.status, found.cause) == (ExecutionStatus.FAILED, Cause.OUTPUT), found
    assert "its files could not be read: the container that reads them did not start in time" in str(found.message)


@pytest.mark.fault("E27")
def test_a_job_that_a_queue_holds_back_waits_and_then_runs() -> None:
    with a_fake(NEW, lines_and_success(3)) as fake:
        fake.faults.mutate = lambda resource, item: item["spec"].update(suspend=True) if resource == "jobs" else None

        async def meanwhile(executor: Executor) -> None:
            await fake.happens(lambda: fake.job(wanted).get("status", {}).get("conditions"), "a suspended Job")
            await asyncio.sleep(0.2)
            await asyncio.to_thread(fake.change, wanted, suspend=False)

        wanted = an_order()
        heard = told(fake, wanted, meanwhile)
        assert any("suspended" in why for why in waits(heard)), waits(heard)
        assert came_to(heard).status is ExecutionStatus.SUCCEEDED


@pytest.mark.fault("E27")
def test_a_job_that_a_queue_suspends_while_it_runs_can_be_tried_again() -> None:
    with a_fake(NEW, lines_until_stopped(1)) as fake:

        async def meanwhile(executor: Executor) -> None:
            await fake.starts(wanted)
            await asyncio.to_thread(fake.change, wanted, suspend=True)

        wanted = an_order()
        found = came_to(told(fake, wanted, meanwhile))
        assert (found.status, found.infrastructure, found.retry) == (ExecutionStatus.FAILED, True, True), found


# -- cancelling -------------------------------------------------------------------------------------------------------


@pytest.mark.fault("E31")
@pytest.mark.parametrize("when", ["before its pod", "while it is pulled", "while it runs", "after its success"])
def test_a_cancel_leaves_one_truth_and_nothing_running(fake: Fake, when: str) -> None:
    wanted = an_order()
    if when == "before its pod":
        fake.api.do(lambda: setattr(fake.api.parts.jobs, "delay", 0.3))
    elif when == "while it is pulled":
        fake.on_node(lambda kubelet: kubelet.pulling.update({"fake:1": 30.0}))
    running(fake, lines_and_success(1) if when == "after its success" else lines_until_stopped(1))

    async def meanwhile(executor: Executor) -> None:
        await _reached(fake, wanted, when)
        await executor.stop(wanted.execution_id, 1.0)

    found = came_to(told(fake, wanted, meanwhile), stop_requested=True)
    expected = ExecutionStatus.SUCCEEDED if when == "after its success" else ExecutionStatus.STOPPED
    assert found.status is expected, found
    ended = ("Succeeded", "Failed")
    fake.until(lambda: all(pod["status"]["phase"] in ended for pod in fake.pods(wanted.execution_id)), "nothing that runs")


async def _reached(fake: Fake, wanted: Order, when: str) -> None:
    if when == "while it is pulled":
        await fake.happens(lambda: fake.pods(wanted.execution_id), "its pod")
    elif when == "while it runs":
        await fake.starts(wanted)
    elif when == "after its success":
        await fake.happens(lambda: fake.pods(wanted.execution_id), "its pod")
        await fake.happens(lambda: fake.phases(wanted) == ["Succeeded"], "its end")


def _leaves(pod: Any) -> bool:
    return "deletionTimestamp" in pod["metadata"]


# -- many -------------------------------------------------------------------------------------------------------------


@pytest.mark.fault("E32")
def test_a_thousand_waiting_jobs_are_two_watches_and_few_calls_and_take_no_memory_when_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    many = 1000
    monkeypatch.setattr(follower, "PODLESS", 0.1)  # all of them ask why they have no pod
    with a_fake(NEW, idle(None)) as fake:
        fake.api.do(lambda: setattr(fake.api.parts.jobs, "delay", 1000.0))  # nothing gets a pod: a full cluster

        async def check() -> tuple[int, int, int]:
            async with opened(fake.executor()) as executor:
                orders = [an_order() for _ in range(many)]
                await asyncio.gather(*map(executor.launch, orders))
                assert len(executor._view) == many  # type: ignore[attr-defined]
                hearing = [asyncio.create_task(hear(executor, each.execution_id)) for each in orders]
                await fake.happens(lambda: fake.count("list events"), "somebody who asks why")
                before = _calls(fake)
                await asyncio.sleep(1.0)
                steady = _calls(fake) - before
                for each in hearing:
                    each.cancel()
                await asyncio.gather(*hearing, return_exceptions=True)
                fake.api.do(lambda: _remove_all(fake))
                await fake.happens(lambda: not len(executor._view), "an empty view")  # type: ignore[attr-defined]
                return steady, fake.count("watch jobs"), fake.count("watch pods")

        steady, jobs, pods = run(check, 60.0)
        assert (jobs, pods) == (1, 1) and 0 < steady <= 10


def _calls(fake: Fake) -> int:
    return sum(fake.api.parts.server.calls.values())


def _remove_all(fake: Fake) -> None:
    for job in fake.api.parts.storage.all("jobs"):
        fake.api.parts.storage.remove("jobs", fake.namespace, job["metadata"]["name"])
