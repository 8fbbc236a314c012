import asyncio

from local_help import Writer

from klassd.workflows.executors.local import follower
from klassd.workflows.executors.local.follower import Watch, Watches, follow
from klassd.workflows.model.execution import Finished, Output, Reached, Started
from klassd.workflows.testing.executors import run


async def told(spool, lives, reported=(), watches=None):
    return [batch async for batch in follow(spool, watches or Watches(), reported, lives)]


def test_what_was_said_while_its_supervisor_was_asked_for_is_told_before_the_end(tmp_path):
    writer = Writer(tmp_path)

    async def ended_just_now(spool):
        writer.out("last words")
        writer.say("end", **writer.end())
        return False

    first, last = run(lambda: told(writer.spool(), ended_just_now))
    assert [type(each) for each in first + last] == [Started, Reached, Output, Finished]
    assert last[-1].end


def test_an_execution_that_is_over_is_one_batch_and_asks_nobody(tmp_path):
    writer = Writer(tmp_path)
    writer.out("hi")
    writer.say("end", **writer.end())

    async def never(spool):
        raise AssertionError("its supervisor was asked for")

    (batch,) = run(lambda: told(writer.spool(), never))
    assert [type(each) for each in batch] == [Started, Reached, Output, Finished]


def test_the_first_look_waits_for_the_end_of_a_short_job_but_not_beyond_it(tmp_path, monkeypatch):
    monkeypatch.setattr(follower, "FIRST", 1000.0)
    monkeypatch.setattr(follower, "LATEST", 1000.0)
    writer, reported, watches = Writer(tmp_path), {"x": None}, Watches()

    def grow():
        writer.out("hi")
        watches.wake("x")

    def end():
        writer.say("end", **writer.end())
        reported.clear()
        watches.wake("x")

    async def check():
        loop = asyncio.get_running_loop()
        loop.call_soon(grow)
        loop.call_later(0.01, end)
        return await told(writer.spool(), None, reported, watches)

    (batch,) = run(check)
    assert [type(each) for each in batch] == [Started, Reached, Output, Finished]


def test_news_that_come_while_nobody_waits_are_not_lost():
    async def check():
        watch = Watch()
        watch.wake()
        await watch.wait(1000.0)
        watch.clear()
        asyncio.get_running_loop().call_soon(watch.wake)
        await watch.wait(1000.0)
        await watch.wait(1000.0)

    run(check)
