"""The workflow of the product page, importable, so that it can be built in other processes too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from klassd.workflows import Job, JobContext, Retry, Workflow


@dataclass
class Markets:
    market_ids: list[str]


@dataclass
class Data:
    dataset: str
    status: Literal["ok", "failed"]
    fresh: bool = True


@dataclass
class Sold:
    market: str
    pieces: int


class MarketFinder(Job):
    async def run(self, ctx: JobContext) -> Markets:
        return Markets(["dk", "se"])


class DataProxy(Job):
    def run(self, ctx: JobContext) -> Data:
        return Data("d", "ok")


class Integration(Job, timeout="5m"):
    market: str
    dataset: str

    async def run(self, ctx: JobContext) -> Sold:
        return Sold(self.market, 1)


class Publish(Job):
    results: list[Sold]
    note: str | None = None

    def run(self, ctx: JobContext) -> int:
        return len(self.results)


class Finalizer(Job):
    dataset: str

    def run(self, ctx: JobContext) -> None: ...


class Notify(Job):
    colours: set[str] | None = None

    def run(self, ctx: JobContext) -> None: ...


class Page(Job):
    def run(self, ctx: JobContext) -> None: ...


def needs_report(status: str, pieces: int = 0) -> bool:
    return status == "ok"


def build() -> Workflow:
    wf = Workflow("catalog-integration")
    markets = wf.add("markets", MarketFinder())
    proxy = wf.add("data-proxy", DataProxy())
    sold = wf.map(
        "integration",
        lambda market: Integration(market=market, dataset=proxy.output.dataset),
        over=markets.output.market_ids,
        max_parallel=5,
    )
    publish = wf.add("publish", Publish(results=sold.output), retry=Retry(2))
    wf.add("finalizer", Finalizer(dataset=proxy.output.dataset), after=[publish])
    wf.add("notify", Notify(colours={"red", "green", "blue"}), when=proxy.output.status == "ok")
    wf.add("page-ops", Page(), when=publish.failed)
    wf.returns(publish.output)
    return wf
