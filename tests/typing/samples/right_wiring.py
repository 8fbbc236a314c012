"""Everything here is right: mypy --strict and pyright in strict mode have nothing to say."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Annotated, Any, Literal, assert_type

import msgspec

from klassd.workflows import (
    App,
    Artifact,
    Client,
    Container,
    FileOutput,
    Job,
    JobContext,
    Node,
    Pod,
    Resources,
    Retry,
    ServiceNode,
    Tcp,
    Workflow,
    call,
    job,
    not_,
)
from klassd.workflows import Http as HttpProbe
from klassd.workflows.pods import SecretKey


class Http:
    """A service."""


class Counts(dict[str, int]):
    """Another."""


@dataclasses.dataclass
class Markets:
    market_ids: list[str]
    pairs: tuple[int, ...]
    names: Sequence[str]
    first: str | None = None


@dataclasses.dataclass
class Data:
    dataset: Artifact[bytes]
    status: Literal["ok", "failed"]
    fresh: bool


@dataclasses.dataclass
class Sold:
    pieces: int


class Hello(Job):
    name: str = "world"

    async def run(self, ctx: JobContext) -> str:
        for number in ctx.track(range(5)):
            ctx.log(f"hello {self.name} {number}")
        return f"greeted {self.name}"


class MarketFinder(
    Job,
    key="markets",
    resources=Resources(cpu="250m/1", memory="256Mi/512Mi"),
    pod=Pod(image="x:1", env={"A": "a", "B": SecretKey("db", "password"), "C": None}, mounts={"/a": "a"}, sidecars="none"),
    timeout="30m",
    retry=Retry(3, backoff="10s..5m"),
    queue="reports",
    priority=5,
    start_deadline=600,
    grace="20s",
):
    async def run(self, ctx: JobContext) -> Markets:
        return Markets(["dk"], (1,), ["a"])


class DataProxy(Job):
    since: date | None = None

    def run(self, ctx: JobContext, http: Http) -> Data:
        return Data(Artifact(key="k", size=0, sha256=""), "ok", fresh=True)


class Integration(Job):
    market: str
    dataset: Artifact[bytes]
    depth: Annotated[int, msgspec.Meta(ge=1)] = 1
    tags: list[str] = dataclasses.field(default_factory=list[str])

    async def run(self, ctx: JobContext, http: Http, counts: Counts) -> Sold:
        return Sold(self.depth)


class SyncIntegration(Integration, queue="sync"):
    extra: int

    async def run(self, ctx: JobContext, http: Http, counts: Counts) -> Sold:
        return Sold(self.extra)


class Count(Job):
    market: str

    def run(self, ctx: JobContext) -> int:
        return len(self.market)


class Publish(Job):
    results: list[Sold]

    def run(self, ctx: JobContext) -> None: ...


class Sum(Job):
    numbers: Sequence[int]

    def run(self, ctx: JobContext) -> int:
        return sum(self.numbers)


@dataclasses.dataclass
class Plain:
    market: str

    def run(self, ctx: JobContext) -> list[int]:
        return [1]


@job
def report(ctx: JobContext, market: str, days: int = 7) -> str:
    return market * days


@job(timeout="5m", queue="mails")
async def send(ctx: JobContext, to: str) -> bool:
    return bool(to)


def needs_report(status: str, pieces: int = 0) -> bool:
    return status == "ok" and pieces > 0


wf = Workflow("catalog-integration")
market = wf.param("market", str)
days = wf.param("days", int, default=7)
codes = wf.param("codes", list[str], default=["dk"])
assert_type(market, str)
assert_type(days, int)
assert_type(codes, list[str])

hello = wf.add("hello", Hello(name=market))
markets = wf.add("markets", MarketFinder())
proxy = wf.add("data-proxy", DataProxy(since=date(2020, 1, 1)), timeout="5m", retry=Retry(2), resources="unconstrained")
assert_type(hello, Node[str])
assert_type(markets, Node[Markets])
assert_type(proxy, Node[Data])
assert_type(proxy.output.dataset, Artifact[bytes])

sold = wf.map(
    "integration",
    lambda market: Integration(market=market, dataset=proxy.output.dataset, depth=days),
    over=markets.output.market_ids,
    max_parallel=5,
    on_empty="succeed",
)
assert_type(sold, Node[list[Sold]])
assert_type(wf.map("count", lambda each: Count(market=each), over=codes), Node[list[int]])
assert_type(wf.map("plain", lambda each: Plain(market=each), over=["dk", "se"], when=proxy.output.fresh), Node[list[list[int]]])
assert_type(wf.map("reports", lambda each: report(market=each), over=markets.output.market_ids), Node[list[str]])
assert_type(wf.map("mails", lambda each: send(to=each), over=("a", "b")), Node[list[bool]])
assert_type(wf.map("again", lambda one: Publish(results=[one]), over=sold.output, after=[hello]), Node[list[None]])
assert_type(wf.map("pairs", lambda number: Sum(numbers=[number]), over=markets.output.pairs), Node[list[int]])

publish = wf.add("publish", Publish(results=sold.output), retry=Retry(2))
assert_type(publish, Node[None])
assert_type(wf.add("plain-one", Plain(market=market)), Node[list[int]])
assert_type(wf.add("report", report(market=hello.output)), Node[str])
assert_type(wf.add("send", send(to=hello.output)), Node[bool])
assert_type(wf.add("sync", SyncIntegration(market="dk", dataset=proxy.output.dataset, extra=1)), Node[Sold])
total = wf.add("total", Sum(numbers=[sold.output[0].pieces, 3]))

wf.add("notify", Hello(), when=proxy.output.status == "ok", after=[publish, sold])
wf.add("fresh", Hello(), when=proxy.output.fresh)
wf.add("page-ops", Hello(), when=publish.failed)
wf.add("either", Hello(), when=publish.failed | (proxy.output.status == "failed"))
wf.add("both", Hello(), when=(total.output > 3) & (total.output <= 5) & sold.succeeded)
wf.add("opposite", Hello(), when=~publish.failed)
wf.add("not-both", Hello(), when=not_((total.output > 3) & proxy.output.fresh))
wf.add("called", Hello(), when=call(needs_report, status=proxy.output.status, pieces=sold.output[0].pieces))
wf.add("called-too", Hello(), when=call(needs_report, proxy.output.status) & publish.succeeded)
db = wf.service("db", Hello(), ready=Tcp(), port=5432, ready_within="1m", after=[hello])
assert_type(db, ServiceNode)
assert_type(db.address, str)
assert_type(db.port, int)
wf.add("load", Count(market=db.address), after=[db])
wf.add("numbers", Sum(numbers=[db.port, 3]), when=db.failed | proxy.output.fresh)
wf.add("no-wait", Hello(name=db.host))
api = wf.service("api", report(market=db.address), ready=HttpProbe("/health"), port=0)
wf.add("after-services", Hello(), after=[db, api, wf.service("mailer", send(to="a"))])
wf.add("dynamic", Hello(name=proxy.outputs("name")))
wf.returns(total.output)

app = App(jobs=[Hello, report, send, wf])


async def enqueue(client: Client) -> str:
    await client.enqueue(Hello(name="team"), unique_key="dk", delay=timedelta(minutes=5), tags=["a"], priority=3)
    await client.enqueue(report(market="dk", days=3), delay="5m")
    await client.enqueue(send("a"), delay=3)
    await client.enqueue(wf, params={"market": "dk"})
    await client.enqueue_many([Hello(), Plain(market="dk"), wf])
    return await client.enqueue(Plain(market="dk"))


async def unit_test(ctx: JobContext) -> None:
    assert_type(await Hello(name="team").run(ctx), str)
    assert_type(report(market="dk").run(ctx), str)
    assert_type(await send(to="a").run(ctx), bool)
    anything: Any = await Integration(market="dk", dataset=proxy.output.dataset).run(ctx, Http(), Counts())
    assert anything


# -- containers -----------------------------------------------------------------------------------------------------

images = Workflow("images")
proxied = images.add("proxy", DataProxy())
imported = images.container(
    "import",
    "importer:3",
    command=["import"],
    args=["--status", proxied.output.status, 3],
    env={"DATASET": proxied.output.dataset},
    outputs={"rows": FileOutput("/out/rows.json", default=0), "name": FileOutput("/out/name", format="text")},
    timeout="5m",
    pod=Pod(env={"MODE": "fast"}),
)
assert_type(imported, Node[dict[str, Any]])
assert_type(imported.output["rows"], Any)
assert_type(images.add("again", Container("importer:3", args=[imported.outputs("rows")]), retry=Retry(2)), Node[dict[str, Any]])
each_row = images.map("each", lambda row: Container("importer:3", args=[row]), over=imported.outputs("rows"), max_parallel=2)
assert_type(each_row, Node[list[dict[str, Any]]])
images.add("when", Container("notify"), after=[each_row], when=imported.output["rows"] != 0)


async def enqueue_container(client: Client) -> str:
    return await client.enqueue(Container("importer:3", key="import", env={"A": 1}), unique_key="a", delay="5m")
