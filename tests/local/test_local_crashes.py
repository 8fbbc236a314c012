"""Whatever is killed, nothing is started twice, lost silently or left alive. Real processes."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
import time

import msgspec
import pytest
from local_help import is_gone, open_gate, wait_until

from klassd.workflows.errors import LaunchDelayed
from klassd.workflows.executors.local import adoption, control, executor, identity
from klassd.workflows.frames import dumps, encode
from klassd.workflows.testing.executors import hear, hear_until, run

SCHEDULER = """
import asyncio, sys
import msgspec
from klassd.workflows.executors.local import LocalExecutor
from klassd.workflows.model.execution import Output
from klassd.workflows.order import Order

async def main():
    executor = LocalExecutor(sys.argv[1])
    await executor.open()
    order = msgspec.json.decode(sys.argv[2], type=Order)
    await executor.launch(order)
    async for batch in executor.follow(order.execution_id, "", 0, 1):
        for told in batch:
            if isinstance(told, Output):
                print(told.chunk.cursor, told.chunk.first_seq + 1, told.chunk.first_line + told.chunk.lines, flush=True)

asyncio.run(main())
"""


@pytest.mark.fault("A6", "D3")
def test_a_killed_scheduler_disturbs_no_job_and_another_reads_on_where_it_stopped(place):
    order = place.order("Gated", {"gate": place.gate(), "witness": place.witness})
    command = [sys.executable, "-c", SCHEDULER, place.state, msgspec.json.encode(order)]
    environment = os.environ | {"PYTHONPATH": os.path.dirname(__file__)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as scheduler:
        cursor, seq, line = scheduler.stdout.readline().split()
        scheduler.kill()

    async def check():
        async with place.executor() as second:
            rest = asyncio.create_task(hear(second, order.execution_id, cursor, int(seq), int(line)))
            whole = asyncio.create_task(hear(second, order.execution_id))
            await hear_until(second, order.execution_id, "before")
            await asyncio.to_thread(open_gate, order.inputs["gate"])
            await asyncio.gather(rest, whole)
            await second.reap(order.execution_id)
            return rest.result(), whole.result()

    rest, whole = run(check)
    ((execution_id, pid),) = place.noted()
    assert execution_id == order.execution_id
    assert rest.lines == ["after"] and whole.lines == ["before", "after"]
    assert rest.outputs == whole.outputs == {"": int(pid)}


@pytest.mark.fault("D1")
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_killed_job_is_told_within_a_second(place, start):
    async def check():
        order = place.order("Gated", {"gate": place.gate(), "witness": place.witness})
        async with place.executor(start=start) as own:
            await own.launch(order)
            await hear_until(own, order.execution_id, "before")
            os.kill(int(place.noted()[0][1]), signal.SIGKILL)
            begun = time.monotonic()
            heard = await hear(own, order.execution_id)
            await own.reap(order.execution_id)
            return heard, time.monotonic() - begun

    heard, seconds = run(check)
    assert heard.finished.end.signal == 9 and seconds < 1.0
    assert heard.lines == ["before"]


@pytest.mark.fault("D2", "D4")
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_killed_supervisor_loses_its_jobs_and_leaves_nothing_of_them_alive(place, start):
    async def check():
        orders = [place.order("Litters", {"gate": place.gate(f"gate{i}"), "witness": place.witness}) for i in range(3)]
        async with place.executor(start=start) as own:
            for order in orders:
                await own.launch(order)
                await hear_until(own, order.execution_id, "before")
            for supervisor in {place.introduced(order.execution_id)[0].pid for order in orders}:
                os.kill(supervisor, signal.SIGKILL)
            begun = time.monotonic()
            heard = await asyncio.gather(*(hear(own, order.execution_id) for order in orders))
            left = [pid for line in place.noted() for pid in line if not is_gone(pid)]
            return heard, time.monotonic() - begun, left

    heard, seconds, left = run(check)
    assert all(each.lost and "supervisor" in each.finished.exit.message for each in heard)
    assert [each.lines for each in heard] == [["before"]] * 3
    assert left == []
    assert seconds < 1.0


@pytest.mark.fault("D2")
def test_a_supervisor_that_died_while_nobody_looked_is_found_dead_by_the_next_scheduler(place):
    async def check():
        order = place.order("Litters", {"gate": place.gate(), "witness": place.witness})
        async with place.executor() as first:
            await first.launch(order)
            await hear_until(first, order.execution_id, "before")
        supervisor, _ = place.introduced(order.execution_id)
        os.kill(supervisor.pid, signal.SIGKILL)
        async with place.executor() as second:
            heard = await hear(second, order.execution_id)
            return heard, [pid for line in place.noted() for pid in line if not is_gone(pid)]

    heard, left = run(check)
    assert heard.lost and heard.lines == ["before"] and left == []


@pytest.mark.fault("B9", "D21")
@pytest.mark.parametrize("fault", ["boot", "start"])
def test_a_process_that_only_has_the_recorded_number_is_neither_adopted_nor_killed(place, fault):
    bystander = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True)
    found = identity.find(bystander.pid)
    boot = "of another day" if fault == "boot" else identity.boot_id()
    start = found.start + (1 if fault == "start" else 0)

    async def check():
        async with place.executor() as own:
            hello = dumps({"v": "1", "boot": boot, "pid": bystander.pid, "start": start, "sock": ""})
            job = dumps({"pid": bystander.pid, "start": start})
            place.write_spool("x", encode("0" * 32, 0, "hello", 1, hello) + encode("0" * 32, 1, "start", 1, job))
            await own.stop("x", 0.0)
            return await hear(own, "x")

    try:
        assert run(check).lost
        assert not is_gone(bystander.pid)
    finally:
        bystander.kill()
        bystander.wait()


@pytest.mark.fault("B1")
def test_launches_that_race_from_two_schedulers_start_each_execution_once(place):
    async def check():
        orders = [place.order("Notes", {"witness": place.witness}) for _ in range(30)]
        async with place.executor() as one, place.executor() as other:
            await asyncio.gather(*(each.launch(order) for order in orders for each in (one, other)))
            for order in orders:
                assert (await hear(other, order.execution_id)).finished.end.result == "success"
                await one.reap(order.execution_id)
            await asyncio.gather(*(each.launch(order) for order in orders for each in (one, other)))
            lost = [await hear(one, order.execution_id) for order in orders]
            return orders, lost

    orders, lost = run(check)
    assert sorted(place.noted()) == sorted([order.execution_id] for order in orders)
    assert all(heard.lost for heard in lost)


@pytest.mark.fault("D20")
def test_a_launch_without_resources_is_put_off_and_does_not_use_up_the_attempt(place):
    async def check():
        first, second = (place.order("Notes", {"witness": place.witness}) for _ in range(2))
        async with place.executor() as own:
            await own.launch(first)
            await hear(own, first.execution_id)
            template = place.introduced(first.execution_id)[0].pid
            before = resource.prlimit(template, resource.RLIMIT_NOFILE)
            resource.prlimit(template, resource.RLIMIT_NOFILE, (4, before[1]))
            with pytest.raises(LaunchDelayed, match="resources"):
                await own.launch(second)
            resource.prlimit(template, resource.RLIMIT_NOFILE, before)
            await own.launch(second)
            return await hear(own, second.execution_id)

    assert run(check).finished.end.result == "success"
    assert len(place.noted()) == 2


def test_a_template_that_dies_is_replaced_at_the_next_launch(place):
    async def check():
        orders = [place.order("Notes", {"witness": place.witness}) for _ in range(2)]
        async with place.executor() as own:
            await own.launch(orders[0])
            await hear(own, orders[0].execution_id)
            template = place.introduced(orders[0].execution_id)[0].pid
            os.kill(template, signal.SIGKILL)
            try:
                await own.launch(orders[1])
            except LaunchDelayed:  # the order was on its way to the dead
                await own.launch(orders[1])
            return template, place.introduced(orders[1].execution_id)[0].pid, await hear(own, orders[1].execution_id)

    old, new, heard = run(check)
    assert heard.finished.end.result == "success" and old != new


@pytest.mark.parametrize("adopted", [False, True])
def test_a_job_whose_template_is_stuck_is_stopped_all_the_same(place, monkeypatch, adopted):
    monkeypatch.setattr(adoption, "HANDSHAKE", 0.1)
    monkeypatch.setattr(executor, "MARGIN", 0.0)

    async def check():
        order = place.order("Gated", {"gate": place.gate(), "witness": place.witness})
        async with place.executor() as first, place.executor() as second:
            await first.launch(order)
            await hear_until(first, order.execution_id, "before")
            template, job = place.introduced(order.execution_id)
            os.kill(template.pid, signal.SIGSTOP)
            try:
                await (second if adopted else first).stop(order.execution_id, 0.0)
                await asyncio.to_thread(wait_until, lambda: is_gone(job.pid))
            finally:
                os.kill(template.pid, signal.SIGCONT)
            return await hear(first, order.execution_id)

    assert run(check).finished.end.result == "none"


def test_a_template_that_does_not_answer_is_replaced_and_starts_nothing_twice_when_it_wakes(place, monkeypatch):
    monkeypatch.setattr(control, "ANSWER", 0.1)

    async def check():
        first, second = (place.order("Notes", {"witness": place.witness}) for _ in range(2))
        async with place.executor() as own:
            await own.launch(first)
            await hear(own, first.execution_id)
            template = place.introduced(first.execution_id)[0]
            os.kill(template.pid, signal.SIGSTOP)
            try:
                with pytest.raises(LaunchDelayed, match="does not answer"):
                    await own.launch(second)
                monkeypatch.setattr(control, "ANSWER", 10.0)
                await own.launch(second)
                heard = await hear(own, second.execution_id)
            finally:
                os.kill(template.pid, signal.SIGCONT)
            await asyncio.to_thread(wait_until, lambda: is_gone(template.pid))
            return heard

    assert run(check).finished.end.result == "success"
    assert len(place.noted()) == 2


@pytest.mark.fault("D19")
def test_descriptors_and_zombies_do_not_grow_over_300_launches(place):
    def counts(template):
        fds = [len(os.listdir(f"/proc/{pid}/fd")) for pid in ("self", template)]
        stats = [open_stat(name) for name in os.listdir("/proc") if name.isdecimal()]
        zombies = [stat for stat in stats if stat and stat[1] in (str(os.getpid()), str(template)) and stat[0] == "Z"]
        return [*fds, len(zombies)]

    async def check():
        async with place.executor() as own:

            async def lane(count):
                for _ in range(count):
                    order = place.order("Notes", {"witness": place.witness})
                    await own.launch(order)
                    template = place.introduced(order.execution_id)[0].pid
                    await hear(own, order.execution_id)
                    await own.reap(order.execution_id)
                return template

            template = await lane(5)
            # an outcome is heard before its job is reaped
            await asyncio.to_thread(wait_until, lambda: counts(template)[-1] == 0)
            before = counts(template)
            await asyncio.gather(*(lane(75) for _ in range(4)))
            await asyncio.to_thread(wait_until, lambda: not grown(counts(template), before))

    def grown(now, before):
        return [each for each in zip(now, before, strict=True) if each[0] > each[1]]

    run(check)
    assert len(place.noted()) == 305


def open_stat(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None
