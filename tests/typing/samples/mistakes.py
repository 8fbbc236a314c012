"""Every line that says MISTAKE is one, and both type checkers report it on that very line; on no other."""

from __future__ import annotations

from right_wiring import (
    Count,
    Data,
    Hello,
    Integration,
    Plain,
    Publish,
    Sold,
    Sum,
    db,
    markets,
    needs_report,
    proxy,
    report,
    send,
    sold,
)

from klassd.workflows import Client, Container, Job, JobContext, Node, Pod, Resources, Retry, Workflow, call, job

wf = Workflow("mistakes")
dataset = proxy.output.dataset


class Lonely(Job):
    """Of its own: once pyright has refused the class, it refuses its instances too."""

    def run(self, ctx: JobContext) -> None: ...


# -- inputs ---------------------------------------------------------------------------------------------------------
wf.add("a", Count(market=markets.output.market_idz))  # MISTAKE: a misspelt output
wf.add("a", Count(market=markets.output.market_ids))  # MISTAKE: a list[str] into str
wf.add("a", Count(market=markets.output.first))  # MISTAKE: a str | None into str
wf.add("a", Count(market=markets))  # MISTAKE: the node instead of its output
wf.add("a", Integration(market="dk"))  # MISTAKE: a missing input
wf.add("a", Count(market="dk", colour="red"))  # MISTAKE: an unknown input
wf.add("a", Integration(market="dk", dataset=dataset, depth="deep"))  # MISTAKE: a wrong literal
wf.add("a", Count("dk"))  # MISTAKE: a positional input
wf.add("a", Publish(results=markets.output.market_ids))  # MISTAKE: a list[str] into list[Sold]
wf.add("a", Sum(numbers=sold.output))  # MISTAKE: a fan-in of list[Sold] into Sequence[int]
wf.add("a", Count(market=sold.output[0].pieces))  # MISTAKE: an int into str
wf.add("a", Plain(market=3))  # MISTAKE: a wrong input of a plain dataclass
wf.add("a", Count(market=proxy.output))  # MISTAKE: a whole output into one of its parts
wf.add("a", Count(market=sold.failed))  # MISTAKE: a condition as an input

# -- functions as jobs ----------------------------------------------------------------------------------------------
wf.add("a", report(market=3))  # MISTAKE: a wrong type into an @job function
wf.add("a", report(markt="dk"))  # MISTAKE: a misspelt input of an @job function
wf.add("a", send())  # MISTAKE: a missing input of an @job function

# -- fan-out --------------------------------------------------------------------------------------------------------
wf.map("m", lambda each: Integration(market="dk", dataset=dataset, depth=each), over=["a"])  # MISTAKE: a str item into int
wf.map("m", lambda each: Count(market=each), over=markets.output.pairs)  # MISTAKE: an int item into str
wf.map("m", lambda each: Count(market=each.name), over=markets.output.market_ids)  # MISTAKE: a field that items do not have
wf.map("m", lambda each: report(market=each), over=sold.output)  # MISTAKE: a wrong item into an @job function
wf.map("m", lambda each: Count(market=each), over=proxy.output.status)  # MISTAKE: over= text
wf.map("m", lambda each: Count(market=each), over=proxy.output)  # MISTAKE: over= what is no list
wf.map("m", lambda each: Count(market=each), over=3)  # MISTAKE: over= a number
wf.map("m", lambda each: each, over=markets.output.market_ids)  # MISTAKE: no job at all
wf.map("m", lambda each: Count(market=each), over=["dk"], max_parallel="5")  # MISTAKE: a wrong max_parallel
wf.map("m", lambda each: Count(market=each), over=["dk"], on_empty="ignore")  # MISTAKE: an unknown on_empty

# -- nodes ----------------------------------------------------------------------------------------------------------
wf.add("a", Lonely)  # MISTAKE: the class instead of an instance
wf.add("a", Sold(pieces=3))  # MISTAKE: what cannot run
wf.add("a", Hello(), when="always")  # MISTAKE: text for a condition
wf.add("a", Hello(), when=needs_report)  # MISTAKE: a function that is not called
wf.add("a", Hello(), when=sold)  # MISTAKE: a node for a condition
wf.add("a", Hello(), when=sold.fialed)  # MISTAKE: a misspelt outcome
wf.add("a", Hello(), when=call(needs_report, state=proxy.output.status))  # MISTAKE: an argument that the function does not have
wf.add("a", Hello(), when=call(needs_report, status=sold.output))  # MISTAKE: a wrong argument of a condition's function
wf.add("a", Hello(), when=call(len, "abc"))  # MISTAKE: a function that gives no boolean
wf.add("a", Hello(), after="markets")  # MISTAKE: after= text
wf.add("a", Hello(), after=["markets"])  # MISTAKE: after= names
wf.add("a", Hello(), after=markets)  # MISTAKE: after= a single node
wf.add("a", Hello(), timout="5m")  # MISTAKE: a misspelt option
wf.add("a", Hello(), retry=3)  # MISTAKE: a number of retries
wf.add("a", Hello(), timeout=[5])  # MISTAKE: a wrong timeout
depth: int = wf.param("count", int, default="x")  # MISTAKE: a default of another type
count: Node[int] = wf.add("a", Hello())  # MISTAKE: another output than the job returns
counts: Node[list[str]] = wf.map("m", lambda each: Count(market=each), over=["dk"])  # MISTAKE: other outputs than the items'
returned: int = wf.returns(sold.output)  # MISTAKE: returns() gives nothing
wf.returns()  # MISTAKE: returns() of nothing
sold.output = []  # MISTAKE: an output cannot be set


# -- classes --------------------------------------------------------------------------------------------------------
class Misspelt(Job, time_out="5m"):  # MISTAKE: a misspelt option
    def run(self, ctx: JobContext) -> None: ...


class WrongOption(Job, retry=3):  # MISTAKE: a number of retries
    def run(self, ctx: JobContext) -> None: ...


class WrongQueue(Job, queue=5):  # MISTAKE: a queue that is no text
    def run(self, ctx: JobContext) -> None: ...


class NoContext(Job):
    def run(self) -> None: ...


class WrongContext(Job):
    def run(self, ctx: int) -> None: ...


wf.add("a", NoContext())  # MISTAKE: a run without a context
wf.add("a", WrongContext())  # MISTAKE: a run with another first parameter
Retry(3, backof="1s")  # MISTAKE: a misspelt option of Retry
Resources(cpu=1)  # MISTAKE: a number of CPUs
Pod(imag="x")  # MISTAKE: a misspelt option of Pod
Pod(env={"WORKERS": 8})  # MISTAKE: a variable that is no text
wf.add("a", Hello(), pod={"image": "x"})  # MISTAKE: a dict instead of a Pod


@job(timeot="5m")  # MISTAKE: a misspelt option of @job
def misspelt(ctx: JobContext) -> None: ...


@job  # MISTAKE: a function without a context
def without_context() -> None: ...


# -- services -------------------------------------------------------------------------------------------------------
print(db.output)  # MISTAKE: the output of a service
wf.add("a", Hello(), when=db.succeeded)  # MISTAKE: the success of a service
wf.add("a", Count(market=db.port))  # MISTAKE: a port into text
wf.add("a", Count(market=db))  # MISTAKE: the service instead of its address
wf.service("a", Hello(), ready="tcp")  # MISTAKE: text instead of a probe
wf.service("a", Hello(), port="5432")  # MISTAKE: a port that is text
wf.service("a", Hello(), over=["dk"])  # MISTAKE: a service per item
wf.map("a", lambda each: Count(market=each), over=db)  # MISTAKE: a fan-out over a service

# -- containers -----------------------------------------------------------------------------------------------------
wf.container("a", "image", args=5)  # MISTAKE: a number for a list of arguments
wf.container("a", "image", outputs={"rows": "/out/rows"})  # MISTAKE: a path for a file output
wf.container("a", "image", timeot="5m")  # MISTAKE: a misspelt option of a container
wf.add("a", Container("image", format="json"))  # MISTAKE: an unknown option of a container
wf.add("a", Count(market=wf.container("b", "image").output))  # MISTAKE: all file outputs into one text


# -- enqueue --------------------------------------------------------------------------------------------------------
async def enqueue(client: Client, ctx: JobContext) -> None:
    await client.enqueue(Hello(name=3))  # MISTAKE: a wrong input
    await client.enqueue(Hello(), delay=[5])  # MISTAKE: a wrong delay
    await client.enqueue(Hello(), unique_key=5)  # MISTAKE: a wrong key
    await client.enqueue(Hello(), tags=3)  # MISTAKE: wrong tags
    await client.enqueue(Hello(), uniqe_key="a")  # MISTAKE: a misspelt option
    await client.enqueue(Data(dataset=dataset, status="ok", fresh=True))  # MISTAKE: what cannot run
    number: int = await Hello().run(ctx)  # MISTAKE: another result than run returns
    print(number)
