"""The executor on an API server that is slow, away, full, strict or wrong."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from fake_api import Rule
from fake_api.scripted import Speaker, idle, scripted
from fake_help import Fake, a_fake, an_order, lines_and_success, lines_until_stopped, told, waits
from outcomes import came_to

from klassd.workflows.errors import LaunchDelayed, LaunchRefused
from klassd.workflows.executors.kubernetes import KubernetesExecutor, api, follower, view
from klassd.workflows.executors.kubernetes.settings import KubernetesSettings
from klassd.workflows.model.states import Cause, ExecutionStatus
from klassd.workflows.ports import Executor
from klassd.workflows.stores.common import chunk_end
from klassd.workflows.testing.executors import Heard, hear, opened, run
from klassd.workflows.testing.proxy import FaultProxy, Faults, Way

JOBS, PODS = r"/jobs$", r"/pods$"


@pytest.fixture
def fake() -> Iterator[Fake]:
    with a_fake(runtime=lines_and_success(3)) as found:
        yield found


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "RETRY", 0.1)
    monkeypatch.setattr(view, "SHORT", 0.0)
    monkeypatch.setattr(follower, "REOPEN", 0.05)


def launched(fake: Fake, rule: Rule, again: int = 0) -> list[BaseException | None]:
    """What came of a launch, and of as many more of the same order; whatever it was, there is one Job in the end."""

    async def check() -> list[BaseException | None]:
        wanted, came = an_order(), []
        fake.faults.rules.append(rule)
        async with opened(fake.executor()) as executor:
            for _ in range(1 + again):
                came += await asyncio.gather(executor.launch(wanted), return_exceptions=True)
            if came[-1] is None:
                heard = await hear(executor, wanted.execution_id)
                assert came_to(heard).status is ExecutionStatus.SUCCEEDED
                assert heard.lines == ["line 0", "line 1", "line 2"] and heard.started == 1
                assert len(fake.jobs(wanted.execution_id)) == len(fake.pods(wanted.execution_id)) == 1
        return came

    return run(check, 30.0)


# -- launching --------------------------------------------------------------------------------------------------------


@pytest.mark.fault("E5")
@pytest.mark.parametrize("status", [429, 500, 503, 504])
@pytest.mark.parametrize("late", [False, True])
def test_a_create_that_fails_is_tried_again_and_makes_one_pod_also_where_it_took_effect(
    fake: Fake, status: int, late: bool
) -> None:
    first, second = launched(fake, Rule("POST", JOBS, status, late=late), again=1)
    assert isinstance(first, OSError) and second is None


@pytest.mark.fault("E5")
@pytest.mark.parametrize("late", [False, True])
def test_an_answer_that_never_came_costs_no_second_pod(fake: Fake, late: bool) -> None:
    first, second = launched(fake, Rule("POST", JOBS, cut=True, late=late), again=1)
    assert isinstance(first, OSError) and second is None


@pytest.mark.fault("E5")
def test_a_server_that_says_when_to_come_again_is_taken_at_its_word(fake: Fake) -> None:
    (delayed,) = launched(fake, Rule("POST", JOBS, 429, retry_after=7))
    assert isinstance(delayed, LaunchDelayed) and delayed.retry_after == 7


@pytest.mark.fault("E5")
def test_an_answer_that_takes_too_long_is_none(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "ANSWER", 0.2)
    first, second = launched(fake, Rule("POST", JOBS, wait=1.0), again=1)
    assert isinstance(first, OSError) and second is None


@pytest.mark.fault("E6")
def test_a_quota_of_jobs_delays_the_launch_and_says_so(fake: Fake) -> None:
    quota = {"metadata": {"name": "few"}, "spec": {"hard": {"count/jobs.batch": "0"}}}
    fake.create("/api/v1/namespaces/{}/resourcequotas", quota)
    (delayed,) = launched(fake, Rule("GET", "nothing"))
    assert isinstance(delayed, LaunchDelayed) and "exceeded quota: few" in str(delayed) and delayed.retry_after


@pytest.mark.fault("E6")
def test_a_quota_of_pods_is_waited_for_and_told(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "PODLESS", 0.2)
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    fake.create("/api/v1/namespaces/{}/resourcequotas", quota)

    async def meanwhile(executor: Executor) -> None:
        await fake.happens(lambda: fake.count("list events"), "a look at the events")
        await asyncio.sleep(0.3)
        await asyncio.to_thread(fake.delete, "/api/v1/namespaces/{}/resourcequotas/none")

    heard = told(fake, an_order(), meanwhile)
    assert any("exceeded quota: none" in why for why in waits(heard))
    assert came_to(heard).status is ExecutionStatus.SUCCEEDED


@pytest.mark.fault("E6")
def test_a_quota_that_changes_meanwhile_is_a_delay(fake: Fake) -> None:
    message = 'Operation cannot be fulfilled on resourcequotas "few": the object has been modified'
    first, second = launched(fake, Rule("POST", JOBS, 409, message), again=1)
    assert isinstance(first, LaunchDelayed) and second is None


@pytest.mark.fault("E7")
def test_a_right_that_is_taken_away_is_named_and_waited_for(fake: Fake) -> None:
    message = 'jobs.batch is forbidden: User "system:serviceaccount:a:b" cannot create resource "jobs" in API group "batch"'
    first, second = launched(fake, Rule("POST", JOBS, 403, message), again=1)
    assert isinstance(first, LaunchDelayed) and "configuration" in str(first) and 'cannot create resource "jobs"' in str(first)
    assert second is None


@pytest.mark.fault("E7")
def test_a_token_that_is_not_accepted_is_a_configuration_error_and_tried_again(fake: Fake) -> None:
    async def check() -> tuple[list[Any], Any]:
        wanted = an_order()
        executor = KubernetesExecutor(
            KubernetesSettings(
                kubeconfig=fake.api.kubeconfig_of(fake.api.parts.port, "mine"), namespace=fake.namespace, image="fake:1"
            )
        )
        async with opened(executor):
            fake.faults.token = "another"
            refused = await asyncio.gather(executor.launch(wanted), return_exceptions=True)
            fake.faults.token = "mine"
            await executor.launch(wanted)
            heard = await hear(executor, wanted.execution_id)
            fake.faults.token = None
            return refused, heard

    (refused,), heard = run(check, 30.0)
    assert isinstance(refused, OSError) and "configuration" in str(refused) and "credentials" in str(refused)
    assert came_to(heard).status is ExecutionStatus.SUCCEEDED


@pytest.mark.fault("E8")
def test_a_specification_that_is_refused_fails_at_once_in_the_servers_words(fake: Fake) -> None:
    (refused,) = launched(fake, Rule("POST", JOBS, 422, "spec.template.spec.volumes[0].name: Invalid value"))
    assert isinstance(refused, LaunchRefused) and "volumes[0].name: Invalid value" in str(refused)


@pytest.mark.fault("E24")
def test_a_namespace_that_is_being_deleted_refuses_and_is_gone_at_last(fake: Fake) -> None:
    async def check() -> BaseException | None:
        wanted, late = an_order(), an_order()
        async with opened(fake.executor()) as executor:
            fake.on_node(lambda kubelet: setattr(kubelet, "runtime", idle(None)))
            await executor.launch(wanted)
            await fake.starts(wanted)
            fake.on_node(lambda kubelet: setattr(kubelet, "lost", True))  # its pod holds the namespace
            await asyncio.to_thread(fake.delete, "/api/v1/namespaces/{}")
            (came,) = await asyncio.gather(executor.launch(late), return_exceptions=True)
            fake.on_node(lambda kubelet: kubelet.found_again())
            await fake.happens(lambda: fake.get("/api/v1/namespaces/{}") is None, "the end of the namespace")
            await asyncio.to_thread(fake.create, "/api/v1/namespaces", {"metadata": {"name": fake.namespace}})
            return came

    came = run(check, 30.0)
    assert isinstance(came, LaunchRefused) and "is being deleted" in str(came)


@pytest.mark.fault("E26")
def test_a_hook_that_denies_refuses_and_one_that_is_away_is_tried_again(fake: Fake) -> None:
    (denied,) = launched(fake, Rule("POST", JOBS, 403, 'admission webhook "rules" denied the request: no cost centre'))
    assert isinstance(denied, LaunchRefused) and "no cost centre" in str(denied)
    away, then = launched(fake, Rule("POST", JOBS, 500, 'failed calling webhook "rules": connection refused'), again=1)
    assert isinstance(away, OSError) and then is None


@pytest.mark.fault("E26")
def test_a_hook_that_changes_labels_and_limits_is_no_trouble(fake: Fake) -> None:
    def mutate(resource: str, item: dict[str, Any]) -> None:
        if resource == "jobs":
            item["metadata"]["labels"]["cost-centre"] = "7"
            item["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"] = "64Mi"

    fake.faults.mutate = mutate
    wanted = an_order()
    assert came_to(told(fake, wanted)).status is ExecutionStatus.SUCCEEDED
    assert fake.pod(wanted)["spec"]["containers"][0]["resources"]["limits"]["memory"] == "64Mi"


# -- watching ---------------------------------------------------------------------------------------------------------


@pytest.mark.fault("E1")
def test_watches_that_have_lost_the_thread_list_again_and_miss_nothing(fake: Fake) -> None:
    async def meanwhile(executor: Executor) -> None:
        for _ in range(2):
            await fake.happens(lambda: fake.api.parts.storage.watches == 2, "both watches")
            lists = fake.count("list pods")
            fake.api.do(_break_watches(fake))
            await fake.happens(lambda before=lists: fake.count("list pods") > before, "a new list")

    fake.on_node(lambda kubelet: setattr(kubelet, "runtime", idle(0.5)))
    assert came_to(told(fake, an_order(), meanwhile)).status is ExecutionStatus.SUCCEEDED


def _break_watches(fake: Fake) -> Callable[[], None]:
    """They end, and where they were is forgotten."""

    def breaking() -> None:
        storage = fake.api.parts.storage
        storage.create("configmaps", fake.namespace, {"metadata": {"generateName": "later-"}})  # so that it is behind
        storage.forget()
        storage.end_watches()

    return breaking


@pytest.mark.fault("E2")
def test_a_watch_that_says_nothing_any_more_is_noticed(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even bookmarks come: the other side is taken for gone after a while, and the next list has what happened."""
    monkeypatch.setattr(api, "STREAM", httpx2.Timeout(5.0, connect=5.0, read=0.5))
    fake.on_node(lambda kubelet: setattr(kubelet, "runtime", lines_and_success(2)))

    async def check() -> Any:
        wanted = an_order()
        async with opened(fake.executor()) as executor:
            assert await executor.unreaped() == []
            fake.faults.mute = True
            await executor.launch(wanted)
            hearing = asyncio.create_task(hear(executor, wanted.execution_id))
            await fake.happens(lambda: fake.count("list pods") > 1, "a new list")
            fake.faults.mute = False
            return await hearing

    assert came_to(run(check, 30.0)).status is ExecutionStatus.SUCCEEDED


@pytest.mark.fault("E3")
@pytest.mark.parametrize("how", ["twice", "old before", "old behind", "reordered"])
def test_watches_that_repeat_and_reorder_come_to_the_same_end(fake: Fake, how: str) -> None:
    before: dict[str, list[bytes]] = {}  # by kind

    def distort(lines: list[bytes]) -> list[bytes]:
        if how == "reordered":
            return lines[::-1]
        old = before.setdefault(json.loads(lines[0])["object"]["kind"], []) if lines else []
        old.extend(line for line in lines if b"BOOKMARK" not in line)
        return {"twice": [*lines, *lines], "old before": [*old, *lines], "old behind": [*lines, *old[:-1]]}[how]

    fake.faults.distort = distort
    heard = told(fake, an_order())
    assert came_to(heard).status is ExecutionStatus.SUCCEEDED and heard.started == 1 and len(heard.lines) == 3


@pytest.mark.fault("E4")
def test_an_api_server_that_is_away_for_a_while_costs_nothing(fake: Fake) -> None:
    async def meanwhile(executor: Executor) -> None:
        await fake.starts(wanted)
        await asyncio.to_thread(fake.api.stop_api)
        fake.on_node(lambda kubelet: kubelet.container(name()).console.write(b"noise\n"))
        await asyncio.sleep(0.5)
        fake.on_node(lambda kubelet: kubelet.container(name()).stop())
        await asyncio.sleep(0.3)
        await asyncio.to_thread(fake.api.start_api)

    def name() -> str:
        return str(fake.api.parts.storage.all("pods")[0]["metadata"]["name"])

    wanted = an_order()
    fake.on_node(lambda kubelet: setattr(kubelet, "runtime", lines_until_stopped(3)))
    heard = told(fake, wanted, meanwhile)
    assert heard.lines == ["line 0", "line 1", "line 2"] and heard.started == 1
    assert heard.finished.end and not heard.lost


# -- consoles ---------------------------------------------------------------------------------------------------------


@pytest.mark.fault("E9")
def test_a_console_that_is_cut_again_and_again_is_whole_all_the_same(fake: Fake) -> None:
    def cuts(number: int) -> Faults:
        return Faults(down=Way(cut=1500 + 997 * number), reset=number % 2 == 0)

    async def check() -> tuple[Any, int]:
        wanted = an_order()
        fake.on_node(lambda kubelet: setattr(kubelet, "runtime", lines_and_success(200)))
        async with FaultProxy(("127.0.0.1", fake.api.parts.port), cuts) as proxy:
            kubeconfig = fake.api.kubeconfig_of(proxy.address[1])
            async with opened(fake.executor(kubeconfig=kubeconfig)) as executor:
                for _ in range(20):
                    (came,) = await asyncio.gather(executor.launch(wanted), return_exceptions=True)
                    if came is None:
                        break
                return await _hear_through(executor, wanted.execution_id), sum("cut" in each.struck for each in proxy.passages)

    heard, cut = run(check, 60.0)
    assert heard.lines == [f"line {number}" for number in range(200)]
    assert came_to(heard).status is ExecutionStatus.SUCCEEDED and cut > 5


async def _hear_through(executor: Executor, execution_id: str) -> Any:
    """As the engine does: follow again where nobody answered, from the last chunk on."""
    heard, cursor = Heard(), ("", 0, 1)
    while True:
        try:
            async for batch in executor.follow(execution_id, *cursor):
                heard.told.extend(batch)
                cursor = chunk_end(heard.chunks[-1]) if heard.chunks else cursor
        except OSError:
            continue
        return heard


@pytest.mark.fault("E10")
def test_lines_that_the_node_threw_away_leave_a_marker_with_their_number(fake: Fake) -> None:
    async def script(speaker: Speaker) -> None:
        for number in range(10):
            speaker.line(f"line {number}")
        speaker.container.console.rotate(keep=0)
        for number in range(10, 12):
            speaker.line(f"line {number}")

    fake.on_node(lambda kubelet: setattr(kubelet, "runtime", scripted(script)))
    heard = told(fake, an_order())
    assert came_to(heard).status is ExecutionStatus.SUCCEEDED
    assert heard.lines[-2:] == ["line 10", "line 11"]
    gaps = [record for chunk in heard.chunks for _, record in _records(chunk.data) if record.get("gap")]
    assert [(gap["l"], gap["n"]) for gap in gaps] == [(1, 10)]


@pytest.mark.fault("E10")
def test_a_follower_that_a_rotation_left_behind_reads_on_before_the_next_one(fake: Fake) -> None:
    """Some kubelets leave it behind, on an open connection, and throw away what it did not hear ten seconds later."""
    rotation, again = asyncio.Event(), asyncio.Event()

    async def script(speaker: Speaker) -> None:
        for number in range(1100):
            speaker.line(f"line {number} ".ljust(1000, "."))
        await rotation.wait()
        speaker.container.console.leave_followers_behind()
        for number in range(1100, 1200):
            speaker.line(f"line {number}")
        await again.wait()
        speaker.container.console.rotate(keep=0)
        speaker.line("the last")

    async def meanwhile(executor: Executor) -> None:
        fake.on_node(lambda kubelet: rotation.set())
        end = time.monotonic() + 10.0
        await fake.happens(lambda: fake.count("log pods") > 1 or time.monotonic() > end, "another reading")
        await fake.happens(lambda: console().caught_up or time.monotonic() > end, "a follower that has heard all")
        fake.on_node(lambda kubelet: again.set())

    def console() -> Any:
        (pod,) = fake.api.parts.storage.all("pods")
        return fake.api.parts.kubelet.container(pod["metadata"]["name"]).console

    fake.on_node(lambda kubelet: setattr(kubelet, "runtime", scripted(script)))
    wanted = an_order()
    heard = told(fake, wanted, meanwhile, after="line 1099")
    assert [line.partition(" .")[0] for line in heard.lines] == [*(f"line {number}" for number in range(1200)), "the last"]


def _records(data: bytes) -> list[Any]:
    found: list[Any] = json.loads(data)
    return found


@pytest.mark.fault("E11")
def test_a_console_that_falls_silent_though_its_pod_runs_is_opened_again(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "STREAM", httpx2.Timeout(5.0, connect=5.0, read=0.5))
    fake.faults.bookmarks = 0.1  # the watches are well
    fake.on_node(lambda kubelet: setattr(kubelet, "runtime", lines_until_stopped(3)))
    wanted = an_order()

    async def meanwhile(executor: Executor) -> None:
        await fake.starts(wanted)
        await fake.happens(lambda: fake.count("log pods") == 1, "a first reading")
        fake.on_node(stall)
        await fake.happens(lambda: fake.count("log pods") > 1, "another reading")
        fake.on_node(stall)
        await executor.stop(wanted.execution_id, 1.0)

    def stall(kubelet: Any) -> None:
        console = kubelet.container(fake.api.parts.storage.all("pods")[0]["metadata"]["name"]).console
        console.stalled = not console.stalled

    heard = told(fake, wanted, meanwhile)
    assert heard.lines == ["line 0", "line 1", "line 2"]
    assert came_to(heard, stop_requested=True).cause is Cause.STOPPED
