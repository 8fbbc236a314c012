import asyncio
import socket
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klassd.workflows.testing.clock import START, Deadlock, FakeClock, VirtualClock, VirtualLoop, run_virtual

YEAR = 365 * 24 * 3600.0


# -- the clock that is moved by hand ----------------------------------------------------------------------------------


def test_a_fake_clock_stands_still_until_it_is_advanced() -> None:
    clock = FakeClock()
    assert (clock.now(), clock.monotonic()) == (START, 0.0)
    clock.advance(5)
    assert (clock.now(), clock.monotonic()) == (START + 5, 5.0)


def test_a_jump_moves_the_wall_clock_only() -> None:
    clock = FakeClock(start=100.0)
    clock.jump(-50)
    assert (clock.now(), clock.monotonic()) == (50.0, 0.0)


def test_a_fake_clock_does_not_go_back() -> None:
    with pytest.raises(ValueError, match=r"advance\(-1\)"):
        FakeClock().advance(-1)


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=10), st.floats(0, 120))
def test_exactly_those_who_are_due_wake_and_in_order(waits: list[float], passed: float) -> None:
    async def main() -> list[float]:
        clock, woken = FakeClock(), []

        async def sleeper(seconds: float) -> None:
            await clock.sleep(seconds)
            woken.append(seconds)

        tasks = [asyncio.create_task(sleeper(seconds)) for seconds in waits]
        await asyncio.sleep(0)
        clock.advance(passed)
        await asyncio.sleep(0)
        assert clock.sleepers == len(waits) - len(woken)
        clock.advance(1000)
        await asyncio.gather(*tasks)
        assert sorted(woken) == woken
        return woken

    assert asyncio.run(main()) == sorted(waits)


def test_a_cancelled_sleeper_is_not_woken() -> None:
    async def main() -> int:
        clock = FakeClock()
        task = asyncio.create_task(clock.sleep(5))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        clock.advance(10)
        return clock.sleepers

    assert asyncio.run(main()) == 0


# -- the loop on which waiting takes no time --------------------------------------------------------------------------


def test_a_year_passes_at_once() -> None:
    async def main() -> tuple[float, float]:
        clock = VirtualClock()
        await clock.sleep(YEAR)
        return clock.now(), clock.monotonic()

    began = time.monotonic()
    assert run_virtual(main()) == (START + YEAR, YEAR)
    assert time.monotonic() - began < 5


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20))
def test_sleepers_wake_in_the_order_of_their_timers_and_at_their_time(waits: list[float]) -> None:
    async def main() -> list[tuple[float, float]]:
        woken = []

        async def sleeper(seconds: float) -> None:
            await asyncio.sleep(seconds)
            woken.append((asyncio.get_running_loop().time(), seconds))

        await asyncio.gather(*map(sleeper, waits))
        return woken

    woken = run_virtual(main())
    assert [seconds for _, seconds in woken] == pytest.approx(sorted(waits), abs=1e-5)
    assert all(at == pytest.approx(seconds, abs=1e-5) for at, seconds in woken)


def test_a_timeout_comes_before_a_longer_sleep() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await asyncio.sleep(61)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx(60)


def test_the_same_code_takes_the_same_course() -> None:
    async def main() -> list[tuple[int, float]]:
        course: list[tuple[int, float]] = []

        async def worker(number: int) -> None:
            for step in range(5):
                await asyncio.sleep((number * 7 + step * 3) % 5)
                course.append((number, asyncio.get_running_loop().time()))

        await asyncio.gather(*map(worker, range(10)))
        return course

    assert run_virtual(main()) == run_virtual(main())


def test_a_deadlock_names_who_waits_and_where() -> None:
    async def stuck() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.create_task(stuck(), name="waiting for godot")
        await task

    with pytest.raises(Deadlock) as caught:
        run_virtual(main())
    assert "2 task(s) wait" in str(caught.value)
    assert "waiting for godot, at " in str(caught.value)
    assert "test_clocks.py" in str(caught.value)


def test_threads_are_waited_for_while_virtual_time_stands_still() -> None:
    async def main() -> tuple[str, float]:
        result = await asyncio.wait_for(asyncio.to_thread(lambda: time.sleep(0.05) or "done"), timeout=0.001)
        return result, asyncio.get_running_loop().time()

    assert run_virtual(main()) == ("done", 0.0)


def test_a_socket_is_waited_for_when_no_timer_is_left() -> None:
    async def main() -> bytes:
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        thread = asyncio.to_thread(lambda: (time.sleep(0.05), theirs.send(b"hello\n")))
        line, _ = await asyncio.gather(reader.readline(), thread)
        writer.close()
        theirs.close()
        return line

    assert run_virtual(main()) == b"hello\n"


def test_what_is_left_running_is_closed() -> None:
    ended: list[str] = []

    async def background() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("background")

    async def main() -> None:
        task = asyncio.create_task(background())
        await asyncio.sleep(1)
        assert not task.done()

    run_virtual(main())
    assert ended == ["background"]


def test_an_error_comes_out_as_it_is() -> None:
    async def main() -> None:
        await asyncio.sleep(10)
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        run_virtual(main())


def test_a_running_loop_is_told_what_to_do_instead() -> None:
    async def inner() -> str:
        await asyncio.sleep(3600)
        return "done"

    async def main() -> str:
        with pytest.raises(RuntimeError, match=r"asyncio\.to_thread"):
            run_virtual(inner())
        return await asyncio.to_thread(lambda: run_virtual(inner()))

    assert asyncio.run(main()) == "done"


def test_a_virtual_clock_needs_a_virtual_loop() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="run_virtual"):
            VirtualClock()

    asyncio.run(main())


def test_the_loop_can_be_used_by_itself() -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(asyncio.sleep(100))
        assert runner.get_loop().time() == pytest.approx(100)
