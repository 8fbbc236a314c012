"""Small portions of a console put together: the same bytes, soon, and few of them at a time."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klassd.workflows.executors.kubernetes.portions import NEVER, Lull, gathered
from klassd.workflows.testing.clock import run_virtual

SPACING, MOST = 0.02, 100


class Broken(Exception):
    pass


class Source:
    """Brings each portion after so many seconds, and breaks at its end if it is to."""

    def __init__(self, portions: list[tuple[float, bytes]], *, breaks: bool = False) -> None:
        self._portions, self._breaks = portions, breaks
        self.brought = 0
        self.closed = False

    async def read(self) -> AsyncGenerator[bytes, None]:
        try:
            for seconds, data in self._portions:
                await asyncio.sleep(seconds)
                self.brought += len(data)
                yield data
            if self._breaks:
                raise Broken
        finally:
            self.closed = True


async def taken(source: Source, lull: Lull = NEVER) -> list[tuple[float, bytes]]:
    found = []
    try:
        async for data in gathered(source.read(), SPACING, MOST, lull):
            found.append((asyncio.get_running_loop().time(), data))  # noqa: PERF401 - it is kept when the source breaks
    except Broken:
        found.append((asyncio.get_running_loop().time(), b"!"))
    return found


PORTIONS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.001, 0.019, 0.021, 1.0]), st.binary(min_size=1, max_size=150)), max_size=30
)


@given(PORTIONS, st.booleans())
def test_the_same_bytes_come_soon_and_seldom(portions: list[tuple[float, bytes]], breaks: bool) -> None:
    source = Source(portions, breaks=breaks)
    found = run_virtual(taken(source))
    ends = [b"!"] if breaks else []
    assert b"".join(data for _, data in found) == b"".join([data for _, data in portions] + ends)
    assert source.closed
    last = found[-1][0] if found else 0.0
    assert last <= sum(seconds for seconds, _ in portions) + SPACING + 1e-6
    for (before, _), (after, data) in itertools.pairwise(found[:-2]):  # its end ends the waiting
        assert after - before >= SPACING - 1e-6 or len(data) >= MOST


def test_the_first_portion_waits_for_nothing() -> None:
    assert run_virtual(taken(Source([(1.0, b"a"), (0.01, b"b"), (0.001, b"c")]))) == [
        (pytest.approx(1.0), b"a"),
        (pytest.approx(1.011), b"bc"),
    ]


def test_a_source_is_held_back_while_nobody_takes_and_closed_when_nobody_will() -> None:
    source = Source([(0.0, b"x" * 60)] * 100)

    async def check() -> None:
        reading = gathered(source.read(), SPACING, MOST)
        await anext(reading)
        await asyncio.sleep(60)
        assert source.brought <= 3 * 60
        await reading.aclose()
        assert source.closed

    run_virtual(check())


def test_a_source_that_falls_silent_is_left_once_it_has_brought_enough() -> None:
    lull = Lull(after=3, seconds=1.0)
    source = Source([(5.0, b"a"), (5.0, b"bc"), (0.9, b"d"), (1.1, b"e")])
    found = run_virtual(taken(source, lull))
    assert found == [(pytest.approx(5.0), b"a"), (pytest.approx(10.0), b"bc"), (pytest.approx(10.9), b"d")]
    assert source.closed


def test_a_source_that_breaks_when_it_could_be_left_is_not_taken_for_silent() -> None:
    found = run_virtual(taken(Source([(0.0, b"abc")], breaks=True), Lull(after=3, seconds=1.0)))
    assert [data for _, data in found] == [b"abc", b"!"]
