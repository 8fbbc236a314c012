import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from klassd.workflows import Artifact, Job, JobContext, testing
from klassd.workflows.errors import ArtifactError
from klassd.workflows.worker.context import OutputError


class Greet(Job):
    name: str = "world"

    async def run(self, ctx: JobContext) -> str:
        for i in ctx.track(range(3)):
            ctx.log(f"hello {self.name} {i + 1}")
        ctx.set_output("length", len(self.name))
        return f"greeted {self.name}"


class Keep(Job):
    def run(self, ctx: JobContext) -> Artifact[str]:
        return ctx.artifacts.save("note.txt", "kept")


def test_a_job_is_run_by_hand_and_what_it_says_is_recorded() -> None:
    ctx = testing.context()
    assert asyncio.run(Greet(name="team").run(ctx)) == "greeted team"
    assert ctx.lines == ["hello team 1", "hello team 2", "hello team 3"]
    assert ctx.bars == {"": {"at": 3, "of": 3}}
    assert ctx.outputs == {"length": 4}


def test_the_context_is_a_job_context() -> None:
    ctx: JobContext = testing.context()
    assert ctx.attempt == 1


def test_what_was_not_said_is_not_recorded() -> None:
    ctx = testing.context()
    assert (ctx.lines, ctx.bars, ctx.outputs, ctx.ready, ctx.cancelled) == ([], {}, {}, False, False)


@pytest.mark.parametrize(
    "given",
    [
        {"run_id": "r"},
        {"execution_id": "e"},
        {"node": "publish"},
        {"index": 4},
        {"attempt": 2},
        {"tenant": "acme"},
        {"tags": ("a", "b")},
        {"arguments": {"market": "dk"}},
        {"config": {"url": "x"}},
        {"idempotency_key": "k"},
        {"fencing_token": 7},
        {"cancelled": True},
    ],
)
def test_everything_a_context_tells_can_be_given(given: dict[str, Any]) -> None:
    ctx = testing.context(**given)
    assert {name: getattr(ctx, name) for name in given} == given


def test_levels_and_lines_are_those_of_the_console() -> None:
    ctx = testing.context()
    ctx.log("one\ntwo", level="WARNING")
    ctx.log({"a": 1}, level=10)
    assert [(line.number, line.text, line.level) for line in ctx.console] == [
        (1, "one", 30),
        (2, "two", 30),
        (3, "{'a': 1}", 10),
    ]


def test_progress_and_named_bars_are_kept_apart() -> None:
    ctx = testing.context()
    ctx.progress(40, "half of it")
    for _ in ctx.track([1, 2], name="rows"):
        pass
    assert ctx.bars == {"": {"at": 40.0, "of": 100.0, "text": "half of it"}, "rows": {"at": 2, "of": 2}}


def test_an_output_is_what_a_dependent_would_read() -> None:
    @dataclasses.dataclass
    class Sold:
        number: int

    ctx = testing.context()
    ctx.set_output("sold", Sold(3))
    assert ctx.outputs == {"sold": {"number": 3}}


def test_an_output_that_cannot_be_stored_is_refused_as_in_production() -> None:
    ctx = testing.context()
    with pytest.raises(OutputError, match="type object"):
        ctx.set_output("a", object())
    with pytest.raises(OutputError, match=r"ctx\.artifacts\.save"):
        ctx.set_output("a", "x" * 70_000)
    assert ctx.outputs == {}


def test_a_service_tells_that_it_is_ready() -> None:
    ctx = testing.context()
    ctx.signal_ready()
    assert ctx.ready


def test_artifacts_are_kept_in_memory() -> None:
    ctx = testing.context()
    artifact = Keep().run(ctx)
    assert artifact.key == "run/run-0-0-1/note.txt"
    assert ctx.artifacts.read(artifact) == b"kept"
    with pytest.raises(ArtifactError, match="in memory"):
        testing.context().artifacts.read(artifact)


def test_artifacts_of_a_store_can_be_given_as_input() -> None:
    store = testing.MemoryArtifacts()
    artifact = Keep().run(testing.context(artifacts=store))
    assert testing.context(execution_id="other", artifacts=store).artifacts.read(artifact) == b"kept"


@pytest.mark.parametrize("as_url", [False, True])
def test_artifacts_may_be_kept_in_a_directory(tmp_path: Path, as_url: bool) -> None:
    Keep().run(testing.context(artifacts=tmp_path.as_uri() if as_url else tmp_path))
    assert (tmp_path / "run/run-0-0-1/note.txt").read_text() == "kept"


def test_an_unknown_name_of_the_kit_is_told_with_those_known() -> None:
    with pytest.raises(AttributeError, match=r"'run_jobs'; it has .*run_job,"):
        _ = testing.run_jobs


def test_every_name_of_the_kit_is_there() -> None:
    assert all(getattr(testing, name) is not None for name in testing.__all__)
    assert set(testing.__all__) == set(dir(testing))
