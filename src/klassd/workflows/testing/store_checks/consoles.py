"""P5: a console's lines in order, without repeats, with a marker for what is missing; any page in constant time."""

from __future__ import annotations

from klassd.workflows.model.logs import LogLine
from klassd.workflows.model.run import LogChunk
from klassd.workflows.testing.store_checks.bench import NOW, Bench, check, chunk, execution, text_chunk


async def _console(bench: Bench, *chunks: LogChunk) -> str:
    run_id = await bench.running()
    id_ = execution(run_id).id
    await bench.commit(run_id, started=(execution(run_id),), logs=tuple((id_, each) for each in chunks))
    return id_


def _texts(lines: list[LogLine]) -> list[tuple[int, str]]:
    return [(line.number, line.text) for line in lines]


class Consoles:
    @check
    async def test_lines_are_read_from_anywhere(self, bench: Bench) -> None:
        all_lines = [(n, f"line {n}") for n in range(1, 11)]
        sizes, at, chunks = (3, 1, 4, 2), 0, []
        for seq, size in enumerate(sizes):
            chunks.append(text_chunk(seq * 10, at + 1, *(text for _, text in all_lines[at : at + size])))
            at += size
        id_ = await _console(bench, *chunks)
        for first in range(1, 13):
            assert _texts(await bench.store.read_log(id_, first)) == all_lines[first - 1 :]
            for limit in (0, 1, 3):
                assert _texts(await bench.store.read_log(id_, first, limit)) == all_lines[first - 1 :][:limit]

    @check
    async def test_an_empty_console_has_no_lines(self, bench: Bench) -> None:
        id_ = await _console(bench)
        assert await bench.store.read_log(id_) == []
        assert await bench.store.log_cursor(id_) == ("", 0, 1)

    @check
    async def test_a_line_says_where_and_when_it_came_from(self, bench: Bench) -> None:
        records = [{"l": 1, "n": 1, "s": 2, "x": "oops\n"}, {"l": 2, "n": 1, "v": 30, "g": "my.logger", "x": "careful"}]
        id_ = await _console(bench, chunk(0, 1, records))
        assert await bench.store.read_log(id_) == [
            LogLine(number=1, time=NOW, text="oops", stream="stderr"),
            LogLine(number=2, time=NOW, text="careful", stream="log", level=30, logger="my.logger"),
        ]

    @check
    async def test_a_chunk_that_is_stored_is_not_repeated(self, bench: Bench) -> None:
        run_id = await bench.running()
        id_ = execution(run_id).id
        first, second = text_chunk(0, 1, "a", "b"), text_chunk(5, 3, "c")
        for logs in ([first], [first, second], [second, first]):
            assert await bench.commit(run_id, logs=tuple((id_, each) for each in logs))
        assert _texts(await bench.store.read_log(id_)) == [(1, "a"), (2, "b"), (3, "c")]

    @check
    async def test_chunks_that_come_out_of_order_are_read_in_order(self, bench: Bench) -> None:
        run_id = await bench.running()
        id_ = execution(run_id).id
        chunks = [text_chunk(0, 1, "a"), text_chunk(1, 2, "b", "c"), text_chunk(2, 4, "d", cursor="40")]
        for each in (chunks[1], chunks[2], chunks[0]):
            await bench.commit(run_id, logs=((id_, each),))
        assert _texts(await bench.store.read_log(id_)) == [(1, "a"), (2, "b"), (3, "c"), (4, "d")]
        assert _texts(await bench.store.read_log(id_, 2, 2)) == [(2, "b"), (3, "c")]
        assert await bench.store.log_cursor(id_) == ("40", 3, 5)

    @check
    async def test_the_first_of_two_versions_of_a_chunk_stays(self, bench: Bench) -> None:
        run_id = await bench.running()
        id_ = execution(run_id).id
        await bench.commit(run_id, logs=((id_, text_chunk(0, 1, "first")),))
        await bench.commit(run_id, logs=((id_, text_chunk(0, 1, "second")),))
        assert _texts(await bench.store.read_log(id_)) == [(1, "first")]

    @check
    async def test_each_execution_has_its_own_console(self, bench: Bench) -> None:
        run_id = await bench.running()
        ids = [execution(run_id, index, attempt).id for index, attempt in ((0, 1), (0, 2), (1, 1), (11, 1))]
        await bench.commit(run_id, logs=tuple((id_, text_chunk(0, 1, id_, cursor=id_)) for id_ in ids))
        for id_ in ids:
            assert _texts(await bench.store.read_log(id_)) == [(1, id_)]
            assert (await bench.store.log_cursor(id_))[0] == id_

    @check
    async def test_a_follower_goes_on_after_the_last_chunk(self, bench: Bench) -> None:
        run_id = await bench.running()
        id_ = execution(run_id).id
        await bench.commit(run_id, logs=((id_, text_chunk(4, 1, "a", "b", cursor="120")),))
        assert await bench.store.log_cursor(id_) == ("120", 5, 3)
        records = [{"l": 3, "n": 1, "s": 1, "x": "c\n"}, {"l": 4, "n": 0, "s": 1, "x": "d", "m": True}]
        await bench.commit(run_id, logs=((id_, chunk(7, 3, records, cursor="300")),))
        assert await bench.store.log_cursor(id_) == ("300", 9, 4)
        await bench.commit(run_id, logs=((id_, chunk(20, 4, [{"l": 4, "n": 1, "s": 1, "x": "e\n"}], "400", next_seq=25)),))
        assert await bench.store.log_cursor(id_) == ("400", 25, 5)

    @check
    async def test_a_line_that_goes_on_over_chunks_is_one_line(self, bench: Bench) -> None:
        id_ = await _console(
            bench,
            chunk(0, 1, [{"l": 1, "n": 1, "s": 1, "x": "one\ntw", "m": True}]),
            chunk(1, 2, [{"l": 2, "n": 0, "s": 1, "x": "o-", "m": True}]),
            chunk(2, 2, [{"l": 2, "n": 0, "s": 1, "x": "and-", "m": True}]),
            chunk(3, 2, [{"l": 2, "n": 2, "s": 1, "x": "more\nthree\n"}]),
        )
        expected = [(1, "one"), (2, "two-and-more"), (3, "three")]
        for first in (1, 2, 3):
            assert _texts(await bench.store.read_log(id_, first)) == expected[first - 1 :]
            assert _texts(await bench.store.read_log(id_, first, 1)) == expected[first - 1 : first]

    @check
    async def test_an_unfinished_last_line_is_given_as_it_stands(self, bench: Bench) -> None:
        id_ = await _console(bench, chunk(0, 1, [{"l": 1, "n": 1, "s": 1, "x": "one\nhalf a li", "m": True}]))
        assert _texts(await bench.store.read_log(id_)) == [(1, "one"), (2, "half a li")]
        assert _texts(await bench.store.read_log(id_, 2)) == [(2, "half a li")]

    @check
    async def test_a_gap_is_marked_wherever_one_begins_to_read(self, bench: Bench) -> None:
        id_ = await _console(
            bench,
            text_chunk(0, 1, "one"),
            chunk(9, 2, [{"l": 2, "n": 14, "gap": True}, {"l": 16, "n": 1, "s": 1, "x": "sixteen\n"}]),
            text_chunk(30, 17, "seventeen"),
        )
        lines = await bench.store.read_log(id_)
        assert [(line.number, line.missing, line.text) for line in lines] == [
            (1, 0, "one"),
            (2, 14, ""),
            (16, 0, "sixteen"),
            (17, 0, "seventeen"),
        ]
        inside = await bench.store.read_log(id_, 10, 2)
        assert [(line.number, line.missing, line.text) for line in inside] == [(10, 6, ""), (16, 0, "sixteen")]
        assert _texts(await bench.store.read_log(id_, 16)) == [(16, "sixteen"), (17, "seventeen")]

    @check
    async def test_the_mark_of_a_console_that_was_cut_comes_last(self, bench: Bench) -> None:
        id_ = await _console(bench, text_chunk(0, 1, "one"), chunk(1, 2, [{"l": 2, "n": 0, "cut": 1048576}]))
        assert [(line.number, line.cut_bytes) for line in await bench.store.read_log(id_)] == [(1, 0), (2, 1048576)]
        assert [(line.number, line.cut_bytes) for line in await bench.store.read_log(id_, 2)] == [(2, 1048576)]

    @check
    async def test_a_long_console_is_read_whole_page_by_page(self, bench: Bench) -> None:
        run_id = await bench.running()
        id_ = execution(run_id).id
        for n in range(100):
            texts = [f"line {n * 7 + k + 1}" for k in range(7)]
            await bench.commit(run_id, logs=((id_, text_chunk(n, n * 7 + 1, *texts)),))
        read: list[LogLine] = []
        while page := await bench.store.read_log(id_, len(read) + 1, 50):
            read += page
        assert _texts(read) == [(n, f"line {n}") for n in range(1, 701)]

    @check
    async def test_a_large_chunk_and_any_text_come_back_unharmed(self, bench: Bench) -> None:
        texts = ["NUL \0 \x1b[31m 漢字 \U0001f600", "y" * 300_000, ""]
        id_ = await _console(bench, text_chunk(0, 1, *texts))
        assert [line.text for line in await bench.store.read_log(id_)] == texts
