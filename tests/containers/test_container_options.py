from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klassd.workflows import App, Container, FileOutput, InvalidInput, InvalidWorkflow, Job, Pod, Retry, Workflow
from klassd.workflows.containers.container import name_of
from klassd.workflows.errors import ConfigurationError
from klassd.workflows.job import job_info
from klassd.workflows.model.workflow import Definition, Node, definition_from
from klassd.workflows.options import seconds
from klassd.workflows.order import ContainerSpec, FileSpec
from klassd.workflows.pods import SecretKey
from klassd.workflows.workflow import job_definition

ROWS = {"rows": FileOutput("/out/rows.json", default=0)}


class Count(Job):
    market: str = "dk"

    def run(self, ctx: Any) -> list[str]:
        return []


def wrong(**options: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        Container(**{"image": "importer", **options})
    return str(caught.value)


def only(wf: Workflow, name: str) -> Node:
    return next(node for node in wf.definition().nodes if node.name == name)


def problems(wf: Workflow) -> list[str]:
    with pytest.raises(InvalidWorkflow) as caught:
        wf.definition()
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("importer", "importer"),
        ("importer:3", "importer"),
        ("registry.example:5000/tools/importer", "importer"),
        ("registry.example:5000/tools/importer:1.2@sha256:0f", "importer"),
        ("tools/importer@sha256:0f", "importer"),
    ],
)
def test_a_container_is_called_as_its_image(image: str, name: str) -> None:
    assert name_of(image) == name
    assert job_info(Container(image)).key == name
    assert job_info(Container(image, key="mine")).key == "mine"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"image": ""}, "image is ''"),
        ({"image": "two words"}, "'registry/image:tag'"),
        ({"command": "sh -c true"}, "command is 'sh -c true': expected a list"),
        ({"command": ["sh", 1]}, "command has 1: expected text"),
        ({"args": "x"}, "args is 'x': expected a list"),
        ({"args": ["a\0b"]}, "NUL"),
        ({"env": ["A"]}, "env is ['A']"),
        ({"env": {"A=B": "x"}}, "env has 'A=B'"),
        ({"env": {"A": SecretKey("db", "password")}}, "goes to pod=Pod(env=...)"),
        ({"outputs": {"rows": "/out/rows"}}, "output 'rows' is '/out/rows': expected FileOutput"),
        ({"outputs": {"rows": FileOutput("out/rows")}}, "expected an absolute path"),
        ({"outputs": {"rows": FileOutput("/out/../rows")}}, "expected an absolute path"),
        ({"outputs": {"rows": FileOutput("/rows")}}, "such as '/out/rows'"),
        ({"outputs": {"rows": FileOutput("/proc/self/rows")}}, "/proc/self is not a directory"),
        ({"outputs": {"rows": FileOutput("/out/rows", format="xml")}}, "format is 'xml'"),  # type: ignore[arg-type]
        ({"outputs": {"rows": FileOutput("/out/rows", default=object())}}, "default is"),
        ({"pod": Pod(image="other")}, "pod= has the image 'other'"),
        ({"timeot": 3}, "there is no option 'timeot'. Did you mean 'timeout'?"),
        ({"retry": 3}, "retry is 3: expected Retry"),
    ],
)
def test_a_wrong_container_is_refused_where_it_is_written(options: dict[str, Any], said: str) -> None:
    assert said in wrong(**options)


def test_everything_wrong_is_said_at_once() -> None:
    said = wrong(image="a b", command="x", outputs={"rows": FileOutput("rows")}, queue="")
    assert said.count("Container: ") == 4


def test_a_null_default_is_a_default() -> None:
    assert job_info(Container("x", outputs={"a": FileOutput("/out/a", default=None)})).container == ContainerSpec(
        image="x", outputs={"a": FileSpec("/out/a", default=None)}
    )


@given(st.one_of(st.none(), st.booleans(), st.integers(0, 9), st.text(max_size=5), st.lists(st.integers(0, 9), max_size=3)))
def test_a_default_survives_the_snapshot(default: Any) -> None:
    definition = job_definition(job_info(Container("x", outputs={"a": FileOutput("/out/a", default=default)})))
    assert definition_from(definition.encoded()) == definition


def test_a_snapshot_says_where_there_is_no_default() -> None:
    definition = job_definition(job_info(Container("x", outputs={"a": FileOutput("/out/a")})))
    assert definition_from(definition.encoded()) == definition
    assert b"default" not in definition.encoded()


def test_options_are_those_of_a_job_and_a_node_goes_before_them() -> None:
    wf = Workflow("w")
    wf.add("a", Container("importer", timeout="5m", queue="slow", retry=Retry(2), pod=Pod(env={"A": "1"})), timeout="1m")
    node = only(wf, "a")
    assert (node.options.timeout, node.options.queue, node.options.retry.times) == (seconds("1m"), "slow", 2)
    assert node.pod is not None
    assert node.pod.env == {"A": "1"}


def test_a_node_cannot_give_a_container_another_image() -> None:
    wf = Workflow("w")
    wf.add("a", Container("importer"), pod=Pod(image="other"))
    assert problems(wf) == ["node 'a': pod= has the image 'other': a container's image is what it is made with"]


def test_references_in_arguments_and_variables_are_its_dependencies() -> None:
    wf = Workflow("w")
    count, proxy = wf.add("count", Count()), wf.add("proxy", Count())
    wf.container("import", "importer:3", args=["--rows", count.output[0], 3], env={"DATA": proxy.output, "MODE": "fast"})
    node = only(wf, "import")
    assert node.needs == ("count", "proxy")
    assert node.inputs == {
        "args": ["--rows", {"$ref": "count", "path": [0]}, 3],
        "env": {"DATA": {"$ref": "proxy", "path": []}, "MODE": "fast"},
    }
    assert (node.job, node.container) == ("importer", ContainerSpec("importer:3"))


def test_a_node_itself_is_no_argument() -> None:
    wf = Workflow("w")
    wf.container("import", "importer:3", args=[wf.add("count", Count())])
    assert problems(wf) == ["node 'import': field 'args[0]': <node 'count'> is the node itself; its value is .output"]


def test_file_outputs_are_taken_by_name_or_as_items_of_the_output() -> None:
    wf = Workflow("w")
    first = wf.container("first", "importer", outputs=ROWS)
    wf.add("second", Container("importer", args=[first.outputs("rows"), first.output["rows"], first.output]))
    assert only(wf, "second").inputs["args"] == [
        {"$ref": "first", "output": "rows", "path": []},
        {"$ref": "first", "path": ["rows"]},
        {"$ref": "first", "path": []},
    ]


def test_a_file_output_that_is_not_there_is_a_mistake_before_anything_runs() -> None:
    wf = Workflow("w")
    first = wf.container("first", "importer", outputs=ROWS)
    each = wf.map("each", lambda row: Container("importer", args=[row], outputs=ROWS), over=first.outputs("rows"))
    wf.container("last", "importer", args=[first.outputs("rowz"), first.output["raws"], each.output[0]["lines"]])
    said = "node 'last': input 'args': container"
    assert problems(wf) == [
        f"{said} 'first' has no file output 'rowz'. Did you mean 'rows'?",
        f"{said} 'first' has no file output 'raws'. Did you mean 'rows'?",
        f"{said} 'each' has no file output 'lines'. It has 'rows'.",
    ]


def test_inside_a_map_the_item_is_an_argument() -> None:
    wf = Workflow("w")
    wf.map("each", lambda row: Container("importer", args=["--row", row]), over=[1, 2], max_parallel=1)
    node = only(wf, "each")
    assert (node.inputs["args"], node.over, node.max_parallel) == (["--row", {"$item": []}], [1, 2], 1)


def test_all_runs_of_one_container_share_a_definition_whatever_they_are_given() -> None:
    one, other = Container("importer", args=["a"]), Container("importer", args=["b"], env={"A": 1})
    assert job_definition(job_info(one)) == job_definition(job_info(other))
    assert job_info(other).encode(other) == {"args": ["b"], "env": {"A": 1}}


def test_a_reference_cannot_be_enqueued() -> None:
    wf = Workflow("w")
    container = Container("importer", args=[wf.add("count", Count()).output])
    with pytest.raises(InvalidInput, match="only while its workflow runs"):
        job_info(container).encode(container)


def test_an_app_finds_a_container_by_its_key_and_gives_it_other_inputs() -> None:
    listed = Container("registry/importer:3", args=["--fast"], env={"A": "1"}, outputs=ROWS, queue="slow")
    info = App(jobs=[Count, listed]).catalog.find("importer")
    assert info is job_info(listed)
    assert App(jobs=[Count, listed]).catalog.names() == ["Count", "importer"]
    built = job_info(listed).build({"args": ["--slow"]})
    assert (built.args, built.env, job_info(built).options.queue) == (["--slow"], {"A": "1"}, "slow")
    assert job_info(built).container == info.container  # type: ignore[union-attr]


def test_two_containers_of_one_key_are_a_mistake() -> None:
    with pytest.raises(ConfigurationError, match="two jobs have the key 'importer'"):
        _ = App(jobs=[Container("importer:1"), Container("importer:2")]).catalog


def test_the_schema_of_a_container_names_its_image_and_its_inputs() -> None:
    schema = job_info(Container("importer:3", args=["a"])).schema()
    assert (schema["title"], schema["description"]) == ("importer", "The image importer:3.")
    assert schema["properties"]["args"]["default"] == ["a"]


def test_definitions_without_containers_are_encoded_as_ever() -> None:
    assert b"container" not in Definition("d", (Node("a", "m:A", "m:A"),)).encoded()
