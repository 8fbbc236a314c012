"""A workflow with everything: data between nodes, fan-out and fan-in, an artifact, a retry, conditions, a handled failure.

Markets are found and a dataset is fetched side by side; each market is integrated in a process of its own, two at a time;
the results come together in one publish, whose first attempt fails and is tried again. What is for bad days only
(``rollback``) is omitted, and the newsletter's failure is handled by ``page-ops``, so that the run succeeds.

    klassd run examples.catalog_integration:app catalog-integration
    klassd show last
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from klassd.workflows import App, Artifact, Job, JobContext, PermanentError, Retry, Workflow

PRODUCTS = 40
LOWEST_PRICE = {"dk": 30, "se": 20, "no": 40}  # what sells in a market


@dataclass
class Markets:
    market_ids: list[str]


@dataclass
class Proxied:
    status: str
    dataset: Artifact[bytes]


@dataclass
class Sold:
    market: str
    products: int
    revenue: float


class MarketFinder(Job):
    """Finds the markets to integrate."""

    async def run(self, ctx: JobContext) -> Markets:
        ctx.log("asking the registry")
        return Markets(market_ids=["dk", "se", "no"])


class DataProxy(Job):
    """Fetches the dataset once and passes it on by reference, whatever its size."""

    def run(self, ctx: JobContext) -> Proxied:
        with ctx.artifacts.writer("dataset.jsonl", media_type="application/x-ndjson") as out:
            for number in ctx.track(range(PRODUCTS)):
                price = 10 + number * 7 % 90
                out.write(json.dumps({"product": number, "price": price}).encode() + b"\n")
                time.sleep(0.01)
        ctx.log(f"{PRODUCTS} products, {out.artifact.size} bytes")
        return Proxied(status="ok", dataset=out.artifact)


class Integration(Job):
    """One market: reads the dataset and sells what the market wants."""

    market: str
    dataset: Artifact[bytes]

    def run(self, ctx: JobContext) -> Sold:
        products = [json.loads(line) for line in ctx.artifacts.read(self.dataset).splitlines()]
        wanted = [each for each in products if each["price"] >= LOWEST_PRICE[self.market]]
        for each in ctx.track(wanted):
            time.sleep(0.01)
            if each["price"] > 95:
                print(f"{self.market}: product {each['product']} is dear: {each['price']}")  # print lands in the console too
        return Sold(market=self.market, products=len(wanted), revenue=float(sum(each["price"] for each in wanted)))


class Publish(Job):
    """Publishes all markets at once. The catalogue is busy the first time: the attempt fails and is tried again."""

    results: list[Sold]

    async def run(self, ctx: JobContext) -> dict[str, float]:
        if ctx.attempt == 1:
            raise ConnectionError("the catalogue answered 503: busy")
        total = sum(result.revenue for result in self.results)
        ctx.log(f"published {len(self.results)} markets, revenue {total:.2f}")
        return {"markets": len(self.results), "revenue": total}


class Finalizer(Job):
    """Runs after publish, though it needs none of its data."""

    dataset: Artifact[bytes]

    async def run(self, ctx: JobContext) -> None:
        ctx.log(f"dataset {self.dataset.key.rpartition('/')[2]} may be archived")


class Notify(Job):
    """Tells the team, where there is good news."""

    async def run(self, ctx: JobContext) -> None:
        ctx.log("catalogue refreshed")


class Newsletter(Job):
    """Fails for good: no retry could help."""

    async def run(self, ctx: JobContext) -> None:
        raise PermanentError("the newsletter has no subscribers")


class Rollback(Job):
    async def run(self, ctx: JobContext) -> None:
        ctx.log("back to yesterday's catalogue")


class PageOps(Job):
    """Handles the newsletter's failure."""

    async def run(self, ctx: JobContext) -> None:
        ctx.log("somebody will look at the newsletter tomorrow", level="WARNING")


wf = Workflow("catalog-integration")
markets = wf.add("markets", MarketFinder())
proxy = wf.add("data-proxy", DataProxy())
sold = wf.map(
    "integration",
    lambda market: Integration(market=market, dataset=proxy.output.dataset),
    over=markets.output.market_ids,
    max_parallel=2,
)
publish = wf.add("publish", Publish(results=sold.output), retry=Retry(2, backoff="200ms"))
wf.add("finalizer", Finalizer(dataset=proxy.output.dataset), after=[publish])
wf.add("notify", Notify(), when=proxy.output.status == "ok", after=[publish])
wf.add("rollback", Rollback(), when=proxy.output.status == "failed")
newsletter = wf.add("newsletter", Newsletter(), after=[publish])
wf.add("page-ops", PageOps(), when=newsletter.failed)
wf.returns(publish.output)

app = App(jobs=[wf])
