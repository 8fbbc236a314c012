import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klassd.workflows.engine.dispatch import Dispatcher, Gate


def test_the_higher_priority_starts_first_and_the_older_among_equals() -> None:
    dispatcher: Dispatcher[str] = Dispatcher(slots=3)
    for priority, name in ((0, "old"), (5, "urgent"), (0, "young")):
        dispatcher.wait("default", priority, name, name)
    assert list(dispatcher.ready()) == ["urgent", "old", "young"]


def test_a_queue_at_its_cap_lets_others_pass() -> None:
    dispatcher: Dispatcher[str] = Dispatcher(slots=3, queue_caps={"reports": 1})
    for name in ("r1", "r2"):
        dispatcher.wait("reports", 9, name, name)
    dispatcher.wait("default", 0, "d1", "d1")
    assert list(dispatcher.ready()) == ["r1", "d1"]
    dispatcher.release("reports")
    assert list(dispatcher.ready()) == ["r2"]


def test_something_new_does_not_overtake_what_waits_in_its_queue() -> None:
    dispatcher: Dispatcher[str] = Dispatcher(slots=1)
    assert dispatcher.take("default")
    dispatcher.wait("default", 0, "run", "waiting")
    dispatcher.release("default")
    assert not dispatcher.take("default")
    assert list(dispatcher.ready()) == ["waiting"]


@pytest.mark.fault("F16")
def test_a_large_run_shares_the_slots_with_one_that_came_later() -> None:
    dispatcher: Dispatcher[str] = Dispatcher(slots=1)
    assert dispatcher.take("default")
    for number in range(4):
        dispatcher.wait("default", 0, "large", f"large {number}")
    assert dispatcher.runs_waiting == 1
    order: list[str] = []
    dispatcher.release("default")
    order.extend(dispatcher.ready())
    dispatcher.wait("default", 0, "small", "small 0")
    dispatcher.wait("default", 0, "small", "small 1")
    for _ in range(5):
        dispatcher.release("default")
        order.extend(dispatcher.ready())
    assert order == ["large 0", "small 0", "large 1", "small 1", "large 2", "large 3"]


def test_what_waits_for_a_cap_does_not_count_as_waiting_for_a_slot() -> None:
    dispatcher: Dispatcher[str] = Dispatcher(slots=4, queue_caps={"reports": 1})
    assert dispatcher.take("reports")
    for number in range(3):
        dispatcher.wait("reports", 0, f"run {number}", "entry")
    assert (dispatcher.waiting, dispatcher.runs_waiting) == (3, 0)


def test_what_was_adopted_counts_even_beyond_the_slots() -> None:
    dispatcher: Dispatcher[str] = Dispatcher(slots=1)
    dispatcher.occupy("default")
    dispatcher.occupy("default")
    assert dispatcher.free == -1
    dispatcher.release("default")
    assert not dispatcher.take("default")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.booleans())), st.integers(1, 5), st.integers(1, 3))
def test_no_more_run_at_once_than_slots_and_caps_allow_and_none_is_forgotten(
    entries: list[tuple[str, int, bool]], slots: int, cap: int
) -> None:
    dispatcher: Dispatcher[tuple[str, int]] = Dispatcher(slots, {"a": cap})
    running: list[str] = []
    started = 0
    for number, (queue, priority, end_one) in enumerate(entries):
        dispatcher.wait(queue, priority, f"run-{number % 3}", (queue, number))
        if end_one and running:
            dispatcher.release(running.pop())
        for started_queue, _ in dispatcher.ready():
            running.append(started_queue)
            started += 1
        assert len(running) <= slots and running.count("a") <= cap
    while running:
        dispatcher.release(running.pop())
        for started_queue, _ in dispatcher.ready():
            running.append(started_queue)
            started += 1
    assert started == len(entries) and dispatcher.waiting == 0


def test_a_record_may_be_ahead_of_the_slots_but_no_launch() -> None:
    async def main() -> None:
        dispatcher: Dispatcher[int] = Dispatcher(slots=1)
        dispatcher.ahead = 2
        assert [dispatcher.take("default") for _ in range(4)] == [True, True, True, False]
        gate = Gate(1)
        await gate.enter()
        second = asyncio.ensure_future(gate.enter())
        third = asyncio.ensure_future(gate.enter())
        await asyncio.sleep(0)
        assert not second.done() and not third.done()
        second.cancel()
        gate.leave()
        await third
        assert second.cancelled()

    asyncio.run(main())


def test_a_turn_given_to_someone_who_left_goes_to_the_next() -> None:
    async def main() -> None:
        gate = Gate(1)
        gate.occupy()
        first, second = asyncio.ensure_future(gate.enter()), asyncio.ensure_future(gate.enter())
        await asyncio.sleep(0)
        gate.leave()
        first.cancel()
        await second
        assert first.cancelled()

    asyncio.run(main())
