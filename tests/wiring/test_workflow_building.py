from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import catalog_flow as shop
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from klassd.workflows import InvalidInput, InvalidWorkflow, Job, Retry, Workflow, call, job
from klassd.workflows.errors import ConfigurationError
from klassd.workflows.model.workflow import Definition, Node
from klassd.workflows.options import Options, RetryPolicy
from klassd.workflows.references import ReferenceMisuse
from klassd.workflows.rules.inputs import evaluate


class Take(Job, queue="slow"):
    anything: Any = None
    results: list[shop.Sold] = dataclasses.field(default_factory=list)
    when: dt.date | None = None

    def run(self, ctx: Any) -> list[str]:
        return []


@job
def report(ctx: Any, market: str, days: int = 7) -> str:
    return market


def only(wf: Workflow, name: str) -> Node:
    return next(node for node in wf.definition().nodes if node.name == name)


def problems(wf: Workflow) -> list[str]:
    with pytest.raises(InvalidWorkflow) as caught:
        wf.definition()
    return list(caught.value.problems)


def test_dependencies_come_from_data_conditions_and_after_each_once() -> None:
    wf = Workflow("w")
    a, b, c, d = (wf.add(name, Take()) for name in "abcd")
    wf.add("e", Take(anything=[b.output[0], {"x": a.output}, b.output]), when=c.failed, after=[d, a])
    assert only(wf, "e").needs == ("b", "a", "c", "d")


def test_references_may_stand_anywhere_inside_an_input() -> None:
    wf = Workflow("w")
    a = wf.add("a", shop.DataProxy())
    wf.add("b", Take(anything={"list": [1, (a.output.dataset,)], "date": dt.date(2020, 1, 2)}))
    dataset = {"$ref": "a", "path": ["dataset"]}
    assert only(wf, "b").inputs["anything"] == {"list": [1, [dataset]], "date": "2020-01-02"}


def test_a_dataclass_that_holds_a_reference_becomes_the_json_of_its_fields() -> None:
    wf = Workflow("w")
    a = wf.add("a", shop.DataProxy())
    wf.add("b", Take(results=[shop.Sold(market=a.output.dataset, pieces=3)]))
    assert only(wf, "b").inputs["results"] == [{"market": {"$ref": "a", "path": ["dataset"]}, "pieces": 3}]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["$ref", "$item", "$param", "$literal", "path", "a"]), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(JSON)
def test_data_that_looks_like_a_reference_arrives_as_it_was(value: Any) -> None:
    wf = Workflow("w")
    wf.add("a", Take(anything=value))
    no_view: Any = None
    assert evaluate(only(wf, "a").inputs["anything"], no_view) == value


def test_a_fan_out_over_a_reference_gives_each_item_to_the_job() -> None:
    wf = Workflow("w")
    markets = wf.add("markets", shop.MarketFinder())
    wf.map("each", lambda market: report(market=market), over=markets.output.market_ids, on_empty="fail", max_parallel=2)
    node = only(wf, "each")
    assert node.over == {"$ref": "markets", "path": ["market_ids"]}
    assert node.inputs == {"market": {"$item": []}, "days": 7}
    assert (node.needs, node.on_empty, node.max_parallel, node.mapped) == (("markets",), "fail", 2, True)


def test_a_fan_out_over_a_list_takes_values_and_references() -> None:
    wf = Workflow("w")
    a = wf.add("a", shop.DataProxy())
    wf.map("each", lambda item: Take(anything=item), over=["x", a.output.dataset, {"$ref": "user data"}])
    assert only(wf, "each").over == ["x", {"$ref": "a", "path": ["dataset"]}, {"$literal": {"$ref": "user data"}}]


def test_the_output_of_a_fan_out_is_the_list_of_results() -> None:
    wf = Workflow("w")
    sold = wf.map("each", lambda market: shop.Integration(market=market, dataset="d"), over=["dk"])
    wf.add("publish", shop.Publish(results=sold.output))
    wf.add("first", Take(anything=sold.output[0].pieces))
    assert only(wf, "publish").inputs["results"] == {"$ref": "each", "path": []}
    assert only(wf, "first").inputs["anything"] == {"$ref": "each", "path": [0, "pieces"]}


def test_items_of_a_fan_out_over_tuples_and_objects_are_typed() -> None:
    wf = Workflow("w")
    wf.map("each", lambda sold: report(market=sold.market, days=sold.pieces), over=[shop.Sold("dk", 1)])
    assert only(wf, "each").inputs == {"market": {"$item": ["market"]}, "days": {"$item": ["pieces"]}}


def test_inputs_that_take_null_are_marked_so_that_an_omitted_node_may_feed_them() -> None:
    wf = Workflow("w")
    wf.add("a", shop.Publish(results=[]))
    wf.add("b", Take())
    assert only(wf, "a").optional == ("note",)
    assert only(wf, "b").optional == ("anything", "when")


def test_options_of_a_node_go_before_those_of_its_job() -> None:
    wf = Workflow("w")
    wf.add("a", Take(), retry=Retry(2, backoff="1s"), timeout="5m", priority=3)
    policy = RetryPolicy(times=2, first=1.0, most=1.0, infrastructure=3)
    assert only(wf, "a").options == Options(queue="slow", retry=policy, timeout=300.0, priority=3)


def test_the_same_instance_may_be_used_in_several_nodes() -> None:
    wf = Workflow("w")
    take = Take(anything=1)
    wf.add("a", take)
    wf.add("b", take)
    assert [node.inputs["anything"] for node in wf.definition().nodes] == [1, 1]


def test_what_a_run_returns_is_data_with_references() -> None:
    wf = Workflow("w")
    a = wf.add("a", shop.DataProxy())
    wf.returns({"dataset": a.output.dataset, "version": 1})
    assert wf.definition().returns == {"dataset": {"$ref": "a", "path": ["dataset"]}, "version": 1}


def test_without_returns_a_run_gives_null() -> None:
    wf = Workflow("w")
    wf.add("a", Take())
    assert wf.definition().returns is None


def test_a_definition_is_built_once_per_app_until_the_workflow_grows() -> None:
    wf = Workflow("w")
    wf.add("a", Take())
    first = wf.definition()
    assert wf.definition() is first
    assert wf.definition("shop:app").app == "shop:app"
    wf.add("b", Take())
    assert len(wf.definition().nodes) == 2


@pytest.mark.fault("F2")
def test_a_chain_of_ten_thousand_nodes_builds() -> None:
    wf = Workflow("w")
    node = wf.add("n0", Take())
    for number in range(1, 10_000):
        node = wf.add(f"n{number}", Take(anything=node.output))
    assert len(wf.definition().nodes) == 10_000


# -- parameters -----------------------------------------------------------------------------------------------------


def with_params() -> Workflow:
    wf = Workflow("w")
    market = wf.param("market", str)
    days = wf.param("days", int, default=7)
    wf.param("since", dt.date, default=dt.date(2020, 1, 1))
    wf.add("a", report(market=market, days=days), when=days > 0)
    return wf


def test_parameters_are_references_and_declared_with_their_schema() -> None:
    definition = with_params().definition()
    assert definition.nodes[0].inputs == {"market": {"$param": "market"}, "days": {"$param": "days"}}
    assert definition.nodes[0].needs == ()
    assert definition.params == {
        "market": {"type": "string"},
        "days": {"type": "integer", "default": 7},
        "since": {"type": "string", "format": "date", "default": "2020-01-01"},
    }


def test_parameters_of_a_run_are_checked_and_completed() -> None:
    wf = with_params()
    assert wf.check_params({"market": "dk"}) == {"market": "dk", "days": 7, "since": "2020-01-01"}
    assert wf.check_params({"market": "dk", "since": dt.date(2021, 2, 3)})["since"] == "2021-02-03"
    assert wf.check_params({"market": "dk", "since": "2021-02-03"})["since"] == "2021-02-03"


def test_all_that_is_wrong_with_the_parameters_of_a_run_is_told_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        with_params().check_params({"days": "x", "dais": 1})
    assert caught.value.job == "w"
    assert list(caught.value.problems) == [
        "field 'market': missing (expected str)",
        "field 'days': expected int, got str 'x'",
        "field 'dais': there is no such field. Did you mean 'days'?",
    ]


def test_a_wrong_declaration_of_a_parameter_is_a_problem_of_the_workflow() -> None:
    wf = with_params()
    wf.param("days", int)
    wf.param("odd", complex)
    wrong: Any = "x"
    wf.param("count", int, default=wrong)
    found = problems(wf)
    assert found[0] == "parameter 'days' is declared twice"
    assert "parameter 'count': expected int, got str 'x'" in found
    assert any(each.startswith("parameter 'odd': type complex cannot travel as JSON") for each in found)


# -- problems -------------------------------------------------------------------------------------------------------


def markets_and_data() -> tuple[Any, Any, Any]:
    """A workflow and two outputs, untyped: here we write what a type checker would refuse."""
    wf: Any = Workflow("w")
    return wf, wf.add("markets", shop.MarketFinder()).output, wf.add("data", shop.DataProxy()).output


def test_a_list_where_one_is_wanted_is_told_with_the_way_to_fan_out() -> None:
    wf, markets, data = markets_and_data()
    wf.add("a", shop.Integration(market=markets.market_ids, dataset=data.dataset))
    (problem,) = problems(wf)
    assert problem == (
        "node 'a': field 'market': expected str, got markets.output.market_ids of type list[str];"
        " for one execution per item: wf.map(..., over=markets.output.market_ids)"
    )


@pytest.mark.fault("F1")
def test_static_inputs_are_checked_when_the_workflow_is_built() -> None:
    wf, _, data = markets_and_data()
    wrong: Any = {"market": 3}
    pieces: Any = "x"
    wf.add("a", shop.Integration(dataset=data.dataset, **wrong))
    wf.add("b", Take(results=[shop.Sold("dk", pieces), data.dataset]))
    assert problems(wf) == [
        "node 'a': field 'market': expected str, got int 3",
        "node 'b': field 'results[0].pieces': expected int, got str 'x' (rule: Sold)",
        "node 'b': field 'results[1]': expected Sold, got data.output.dataset of type str",
    ]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda node, other: node, "<node 'data'> is the node itself; its value is .output"),
        (lambda node, other: [node], "field 'anything[0]': <node 'data'> is the node itself"),
        (lambda node, other: node.failed, "a condition belongs to when=, not to an input"),
        (lambda node, other: {"$ref": "x", "y": node.output}, "the key '$ref' cannot stand beside a reference"),
        (lambda node, other: {1: node.output}, "the key 1 cannot stand beside a reference: expected text"),
        (lambda node, other: Opaque(node.output), "a value of type Opaque cannot be written as JSON"),
        (lambda node, other: other.output, "other.output belongs to another workflow"),
        (lambda node, other: float("nan"), "nan is no number of JSON"),
    ],
)
def test_what_cannot_be_an_input_is_told(value: Any, message: str) -> None:
    wf: Any = Workflow("w")
    node = wf.add("data", shop.DataProxy())
    other = Workflow("v").add("other", shop.DataProxy())
    wf.add("a", Take(anything=value(node, other)))
    (problem,) = problems(wf)
    assert problem.startswith("node 'a': ")
    assert message in problem


class Opaque:
    def __init__(self, inside: object) -> None:
        self.inside = inside


def test_an_item_that_leaks_out_of_its_fan_out_is_told_once() -> None:
    wf = Workflow("w")
    leaked: list[Any] = []

    def each(item: str) -> Take:
        leaked.append(item)
        return Take(anything=item)

    wf.map("m", each, over=["a"])
    wf.add("b", Take(anything=leaked[0]))
    assert problems(wf) == ["node 'b': m's item can only be used inside the map that makes it"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"when": "always"}, "when=: 'always' is no condition: expected a comparison, node.failed or node.succeeded"),
        ({"when": shop.needs_report}, "call a function with the data it needs: call(function, name=node.output...)"),
        ({"when": call(shop.needs_report, status=3)}, "call(needs_report): field 'status': expected str, got int 3"),  # type: ignore[arg-type]
        ({"after": "markets"}, "after= must be a list of nodes, got 'markets'"),
        ({"after": ["markets"]}, "after= takes nodes, got 'markets'"),
        ({"timout": 3}, "options: there is no option 'timout'. Did you mean 'timeout'?"),
        ({"key": "x"}, "options: there is no option 'key'."),
        ({"retry": 3}, "options: retry is 3: expected Retry(times, backoff='10s..5m')"),
    ],
)
def test_a_wrong_option_of_a_node_is_told(options: dict[str, Any], message: str) -> None:
    wf, _, _ = markets_and_data()
    wf.add("a", Take(), **options)
    (problem,) = problems(wf)
    assert problem.startswith("node 'a': ")
    assert message in problem


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"over": "abc"}, "over= must be a list or a reference to one, got 'abc'"),
        ({"over": 3}, "over= must be a list or a reference to one, got 3"),
        ({"over": [1], "max_parallel": 0}, "max_parallel is 0: expected a number of at least 1"),
        ({"over": [1], "max_parallel": "5"}, "max_parallel is '5': expected a number of at least 1"),
        ({"over": [1], "on_empty": "ignore"}, "on_empty is 'ignore': expected 'omit' or 'succeed' or 'fail'"),
    ],
)
def test_a_wrong_fan_out_is_told(options: dict[str, Any], message: str) -> None:
    wf: Any = Workflow("w")
    wf.map("a", lambda item: Take(), **options)
    assert any(message in problem for problem in problems(wf))


def test_a_fan_out_over_what_is_no_list_is_told() -> None:
    wf, _, data = markets_and_data()
    wf.map("a", lambda item: Take(anything=item), over=data.dataset)
    assert problems(wf) == ["node 'a': over= must be a list; data.output.dataset is of type str"]


def test_a_job_in_place_of_a_call_is_refused_at_once() -> None:
    wf: Any = Workflow("w")
    with pytest.raises(TypeError, match=r"node 'a': Take is a job, not a call of it; give it its inputs: Take\(...\)"):
        wf.add("a", Take)
    with pytest.raises(TypeError, match=r"node 'a': report is a job, not a call of it; give it its inputs: report\(...\)"):
        wf.add("a", report)
    with pytest.raises(TypeError, match="node 'a': str is no job"):
        wf.add("a", "x")
    with pytest.raises(TypeError, match="node 'm': str is no job"):
        wf.map("m", lambda item: "x", over=["a"])


def test_a_job_that_no_worker_can_import_is_a_problem_of_its_node() -> None:
    class Local(Job):
        def run(self, ctx: Any) -> None: ...

    wf = Workflow("w")
    wf.add("a", Local())
    (problem,) = problems(wf)
    assert problem.startswith("node 'a': job 'test_a_job_that_no_worker_can_import_is_a_problem_of_its_node.<locals>.Local'")


def test_misuse_while_building_says_so_at_the_line_where_it_happens() -> None:
    wf, markets, _ = markets_and_data()
    with pytest.raises(ReferenceMisuse, match=r"use wf.map\(name, lambda item: ..., over=...\)"):
        for market in markets.market_ids:
            wf.add(f"integration-{market}", Take(anything=market))


def test_all_problems_are_told_at_once_the_graphs_own_among_them() -> None:
    wf, markets, _ = markets_and_data()
    wf.add("a", Take(), timeout="soon")
    wf.add("a", shop.Finalizer(dataset=markets))
    wf.add("not a name", Take())
    wf.returns(markets)
    wf.returns(markets)
    found = problems(wf)
    assert found[0] == "returns() is called twice; give all of it in one, as a dict or a list"
    assert "node 'a': field 'dataset': expected str, got markets.output of type Markets" in found
    assert "there are 2 nodes named 'a'" in found
    assert any(each.startswith("the node name 'not a name' is not usable") for each in found)
    assert len(found) == 5


def test_what_a_run_returns_is_checked_too() -> None:
    wf: Any = Workflow("w")
    node = wf.add("a", Take())
    wf.returns([node, Workflow("v").add("x", Take()).output])
    assert problems(wf) == [
        "returns: field 'value[0]': <node 'a'> is the node itself; its value is .output",
        "returns: x.output belongs to another workflow",
    ]


def test_an_empty_workflow_is_refused() -> None:
    assert problems(Workflow("w")) == ["there is nothing in it: add a job"]


def test_a_workflow_needs_a_name() -> None:
    with pytest.raises(ConfigurationError, match="a workflow's name is '': expected text"):
        Workflow("")


def test_a_definition_survives_its_encoding() -> None:
    definition = with_params().definition()
    assert msgspec.json.decode(definition.encoded(), type=Definition) == definition
