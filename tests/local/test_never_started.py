"""What was told as never started is never started, however late an order for it arrives. Real processes."""

import asyncio
import os
import signal

import pytest
from local_help import NONCE, wait_until

from klassd.workflows.errors import LaunchDelayed, LaunchRefused
from klassd.workflows.executors.local import LocalExecutor, control, identity
from klassd.workflows.executors.local.spool import is_claimed
from klassd.workflows.frames import dumps, encode
from klassd.workflows.testing.executors import hear, run
from klassd.workflows.worker.claim import withdraw


async def a_template(place, own):
    """Its pid: one that has started something before."""
    first = place.order("Notes", {"witness": place.witness})
    await own.launch(first)
    await hear(own, first.execution_id)
    return place.introduced(first.execution_id)[0].pid


@pytest.mark.fault("A11", "A17", "E31")
def test_an_order_that_is_read_after_its_execution_was_told_as_never_started_starts_nothing(place, monkeypatch):
    monkeypatch.setattr(control, "ANSWER", 0.1)

    async def check():
        late = place.order("Notes", {"witness": place.witness})
        async with place.executor() as own:
            template = await a_template(place, own)
            os.kill(template, signal.SIGSTOP)
            try:
                with pytest.raises(LaunchDelayed, match="does not answer"):
                    await own.launch(late)
                heard = await hear(own, late.execution_id)
            finally:
                os.kill(template, signal.SIGCONT)
            await asyncio.to_thread(wait_until, lambda: identity.find(template) is None)
            await own.launch(late)
            return heard, await hear(own, late.execution_id)

    heard, again = run(check)
    assert heard.lost and "never started" in heard.finished.exit.message
    assert again.lost
    assert len(place.noted()) == 1


@pytest.mark.fault("A5", "B1")
def test_a_claim_that_is_withdrawn_again_is_not_taken_for_a_start(place, monkeypatch):
    """Another scheduler's template has claimed it and looks at its order once more: it has expired."""

    async def check():
        order = place.order("Notes", {"witness": place.witness})
        async with place.executor() as own:
            hello = {"v": "9", "boot": identity.boot_id(), "pid": os.getpid(), "start": identity.find(os.getpid()).start}
            peek = own._peek
            place.write_spool(order.execution_id, encode(NONCE, 0, "hello", 1, dumps(hello)))
            looks = iter([withdraw])
            monkeypatch.setattr(own, "_peek", lambda id_: (peek(id_), next(looks, lambda *_: None)(place.spools, id_))[0])
            await own.launch(order)
            return await hear(own, order.execution_id)

    assert run(check).finished.end.result == "success"
    assert len(place.noted()) == 1


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_launch_that_is_refused_is_no_refusal_of_one_that_runs_already(place, start, monkeypatch):
    async def check():
        running = place.order("Waits", module="klassd.workflows.testing.executor_jobs")
        async with place.executor() as first:
            await first.launch(running)
            async with place.executor(python="/no/such/python", start=start) as second:
                await second.launch(running)
            await first.stop(running.execution_id, 5.0)
            return await hear(first, running.execution_id)

    assert run(check).finished.end.requested == "stop"


def test_what_was_refused_for_good_is_not_started_by_an_order_that_comes_late(place):
    async def check():
        order = place.order("Notes", {"witness": place.witness})
        async with place.executor(python="/no/such/python") as broken, place.executor() as own:
            with pytest.raises(LaunchRefused):
                await broken.launch(order)
            assert is_claimed(place.spools, order.execution_id)
            await own.launch(order)
            return await hear(own, order.execution_id)

    assert run(check).lost


def test_a_job_whose_files_were_removed_while_it_ran_is_dead_before_it_is_told_as_lost(place):
    async def check():
        order = place.order("Gated", {"gate": place.gate(), "witness": place.witness})
        async with place.executor() as own:
            await own.launch(order)
            following = own.follow(order.execution_id, "", 0, 1)
            await anext(following)
            job = place.introduced(order.execution_id)[1]
            os.unlink(os.path.join(place.spools, f"{order.execution_id}.log"))
            told = [each async for batch in following for each in batch]
            return told[-1], identity.is_alive(job.pid, job.start)

    finished, alive = run(check)
    assert finished.exit.reason == "lost" and "removed" in finished.exit.message
    assert not alive


def test_a_directory_that_was_removed_is_made_again_and_its_executions_are_lost(place):
    async def check():
        async with place.executor() as own:
            assert isinstance(own, LocalExecutor)
            os.rmdir(place.spools)
            return await hear(own, "gone-0-0-1")

    assert run(check).lost
