"""The proxy does to a connection what it was told, to the byte: before a real echo server, and a real HTTP server."""

from __future__ import annotations

import asyncio
import http.client
import http.server
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from klassd.workflows.testing import FaultProxy, Faults, Way

TEXT = bytes(range(256)) * 4
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def echo() -> AsyncIterator[tuple[str, int]]:
    """A server that says whatever it is told."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()


Check = Callable[[FaultProxy, Streams], Awaitable[None]]


def through(faults: Faults, check: Check) -> None:
    async def main() -> None:
        async with asyncio.timeout(20), echo() as server, FaultProxy(server, faults) as proxy:
            streams = await asyncio.open_connection(*proxy.address)
            try:
                await check(proxy, streams)
            finally:
                streams[1].close()

    asyncio.run(main())


async def say(streams: Streams, data: bytes = TEXT) -> bytes:
    """And hear all of the answer."""
    streams[1].write(data)
    streams[1].write_eof()
    return await streams[0].read()


def test_without_faults_everything_passes_and_each_side_hears_that_the_other_is_done() -> None:
    async def check(proxy: FaultProxy, streams: Streams) -> None:
        assert await say(streams) == TEXT
        (passage,) = proxy.passages
        assert (passage.up, passage.down, passage.struck) == (len(TEXT), len(TEXT), set())

    through(Faults(), check)


@pytest.mark.parametrize("place", [0, 1, 100, len(TEXT) - 1, len(TEXT)])
def test_an_answer_is_cut_after_exactly_so_many_bytes(place: int) -> None:
    async def check(proxy: FaultProxy, streams: Streams) -> None:
        assert await say(streams) == TEXT[:place]
        assert proxy.passages[0].down == place
        assert proxy.passages[0].struck == {"cut"}

    through(Faults(down=Way(cut=place)), check)


def test_a_request_is_cut_after_exactly_so_many_bytes() -> None:
    async def check(proxy: FaultProxy, streams: Streams) -> None:
        streams[1].write(TEXT)
        assert TEXT[:100].startswith(await streams[0].read())
        assert proxy.passages[0].up == 100

    through(Faults(up=Way(cut=100)), check)


def test_a_cut_can_be_a_reset() -> None:
    async def check(proxy: FaultProxy, streams: Streams) -> None:
        streams[1].write(TEXT)
        with pytest.raises(ConnectionResetError):
            while await streams[0].read(1000):
                pass

    through(Faults(down=Way(cut=10), reset=True), check)


def test_a_connection_can_be_refused_by_its_number() -> None:
    async def main() -> None:
        async with echo() as server, FaultProxy(server, lambda number: Faults(refuse=number == 0)) as proxy:
            first = await asyncio.open_connection(*proxy.address)
            with pytest.raises(ConnectionError):
                first[1].write(b"hello")
                await first[0].readexactly(5)
            second = await asyncio.open_connection(*proxy.address)
            assert await say(second) == TEXT
            second[1].close()
            assert [passage.struck for passage in proxy.passages] == [{"refuse"}, set()]

    asyncio.run(main())


def test_a_stalled_connection_is_silent_and_stays_open() -> None:
    async def check(proxy: FaultProxy, streams: Streams) -> None:
        streams[1].write(TEXT)
        assert await streams[0].readexactly(10) == TEXT[:10]
        reading = asyncio.ensure_future(streams[0].read(1))
        streams[1].write(b"still there?")
        await asyncio.wait([reading], timeout=0.05)
        assert not reading.done(), "nothing comes, not even an end"
        assert proxy.passages[0].struck == {"stall"}
        await proxy.drop()
        with pytest.raises(ConnectionResetError):
            await reading

    through(Faults(down=Way(stall=10)), check)


def test_a_stalled_request_never_reaches_the_server() -> None:
    async def check(proxy: FaultProxy, streams: Streams) -> None:
        streams[1].write(TEXT)
        assert await streams[0].readexactly(7) == TEXT[:7]
        reading = asyncio.ensure_future(streams[0].read(1))
        await asyncio.wait([reading], timeout=0.05)
        assert not reading.done() and proxy.passages[0].struck == {"stall"}
        assert (proxy.passages[0].up, proxy.passages[0].down) == (7, 7)
        reading.cancel()

    through(Faults(up=Way(stall=7)), check)


def test_latency_holds_in_each_direction_and_a_rate_limits_it() -> None:
    async def check(proxy: FaultProxy, streams: Streams) -> None:
        begun = time.monotonic()
        assert await say(streams, TEXT[:500]) == TEXT[:500]
        assert time.monotonic() - begun >= 0.05 + 0.05 + 0.1

    through(Faults(up=Way(latency=0.05), down=Way(latency=0.05, rate=5000)), check)


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_split_segments_are_no_larger_than_said_and_lose_nothing(size: int) -> None:
    async def check(proxy: FaultProxy, streams: Streams) -> None:
        assert await say(streams) == TEXT

    through(Faults(up=Way(split=size), down=Way(split=size)), check)


def test_what_arrives_in_pieces_goes_out_as_one() -> None:
    async def check(proxy: FaultProxy, streams: Streams) -> None:
        for _ in range(10):
            streams[1].write(b"0123456789")
            await streams[1].drain()
            await asyncio.sleep(0)
        assert await streams[0].read(65536) == b"0123456789" * 10

    through(Faults(up=Way(merge=0.2)), check)


def test_faults_can_change_for_the_connections_to_come() -> None:
    async def main() -> None:
        async with echo() as server, FaultProxy(server) as proxy:
            for faults, heard in ((Faults(), TEXT), (Faults(down=Way(cut=5)), TEXT[:5]), (Faults(), TEXT)):
                proxy.faults = faults
                streams = await asyncio.open_connection(*proxy.address)
                assert await say(streams) == heard
                streams[1].close()

    asyncio.run(main())


def test_unix_sockets_are_served_too(tmp_path: Path) -> None:
    async def main() -> None:
        there, here = str(tmp_path / "there"), str(tmp_path / "here")

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.read())
            writer.close()

        async with await asyncio.start_unix_server(serve, there), FaultProxy(there, Faults(down=Way(cut=3)), path=here):
            streams = await asyncio.open_unix_connection(here)
            assert await say(streams) == TEXT[:3]
            streams[1].close()

    asyncio.run(main())


# -- before an HTTP server ----------------------------------------------------------------------------------------------


class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(TEXT)))
        self.end_headers()
        self.wfile.write(TEXT)

    def log_message(self, *_: object) -> None:
        pass


def fetched(faults: Faults, timeout: float = 10.0) -> bytes:
    """A page of a real HTTP server by a real client, through the proxy."""

    def get(host: str, port: int) -> bytes:
        connection = http.client.HTTPConnection(host, port, timeout=timeout)
        try:
            connection.request("GET", "/")
            return connection.getresponse().read()
        finally:
            connection.close()

    async def main() -> bytes:
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
            serving = threading.Thread(target=server.serve_forever, args=(0.01,))
            serving.start()
            try:
                async with FaultProxy(("127.0.0.1", server.server_port), faults) as proxy:
                    return await asyncio.to_thread(get, *proxy.address)
            finally:
                server.shutdown()
                serving.join()

    return asyncio.run(main())


def test_a_page_comes_whole_through_single_bytes() -> None:
    assert fetched(Faults(down=Way(split=1), up=Way(split=1))) == TEXT


def test_a_page_that_is_cut_is_known_to_be_incomplete() -> None:
    with pytest.raises(http.client.IncompleteRead):
        fetched(Faults(down=Way(cut=400)))


def test_a_server_that_is_gone_before_its_answer_is_told_as_that() -> None:
    """``http.client.RemoteDisconnected`` is one; where the request was still on its way it is a plain one."""
    with pytest.raises(ConnectionResetError):
        fetched(Faults(down=Way(cut=0)))


def test_a_server_that_says_nothing_any_more_is_noticed_by_the_read_deadline_only() -> None:
    with pytest.raises(TimeoutError):
        fetched(Faults(down=Way(stall=100)), timeout=0.2)
