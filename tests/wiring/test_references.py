from __future__ import annotations

import copy
import dataclasses
import math
import os
from collections.abc import Callable
from typing import Any, Generic, Literal, NamedTuple, TypedDict, TypeVar

import attrs
import catalog_flow as shop
import msgspec
import pydantic
import pytest

from klassd.workflows import Job, Workflow, call, not_
from klassd.workflows.errors import ConfigurationError, KlassdError
from klassd.workflows.model.workflow import All, AnyOf, Call, Compare, Not, Outcome, Truth
from klassd.workflows.references import Condition, Reference, ReferenceMisuse, condition, wire_of

T = TypeVar("T")


class Point(msgspec.Struct, rename="camel"):
    left_side: int


class Row(msgspec.Struct, array_like=True):
    a: int
    b: str


class Pair(NamedTuple):
    first: int
    second: str


class Size(TypedDict):
    width: int


@attrs.define
class Wheel:
    radius: int


class Person(pydantic.BaseModel):
    name: str = pydantic.Field(alias="fullName")


@dataclasses.dataclass
class Box(Generic[T]):
    content: T
    many: list[T]


@dataclasses.dataclass
class Out:
    text: str
    flag: bool
    names: list[str]
    table: dict[str, int]
    by_number: dict[int, str]
    fixed: tuple[int, str]
    point: Point
    row: Row
    pair: Pair
    size: Size
    wheel: Wheel
    person: Person
    box: Box[int]
    maybe: Point | None
    anything: Any


class Make(Job):
    def run(self, ctx: Any) -> Out:
        raise NotImplementedError


class Untyped(Job):
    def run(self, ctx: Any): ...  # type: ignore[no-untyped-def]


class Nothing(Job):
    def run(self, ctx: Any) -> None: ...


def out() -> Any:
    return Workflow("w").add("make", Make()).output


def data(reference: Any) -> dict[str, Any]:
    return wire_of(reference).data()


@pytest.mark.parametrize(
    ("take", "path", "type_"),
    [
        (lambda o: o, [], Out),
        (lambda o: o.text, ["text"], str),
        (lambda o: o.names[1], ["names", 1], str),
        (lambda o: o.table["a b"], ["table", "a b"], int),
        (lambda o: o.by_number[3], ["by_number", "3"], str),
        (lambda o: o.fixed[1], ["fixed", 1], str),
        (lambda o: o.point.left_side, ["point", "leftSide"], int),
        (lambda o: o.row.b, ["row", 1], str),
        (lambda o: o.pair.second, ["pair", 1], str),
        (lambda o: o.pair[0], ["pair", 0], int),
        (lambda o: o.size["width"], ["size", "width"], int),
        (lambda o: o.wheel.radius, ["wheel", "radius"], int),
        (lambda o: o.person.name, ["person", "fullName"], str),
        (lambda o: o.box.content, ["box", "content"], int),
        (lambda o: o.box.many[0], ["box", "many", 0], int),
        (lambda o: o.maybe.left_side, ["maybe", "leftSide"], int),
        (lambda o: o.anything.what.ever[3]["x"], ["anything", "what", "ever", 3, "x"], Any),
    ],
)
def test_attributes_and_items_lead_to_where_the_json_has_them(take: Callable[[Any], Any], path: list[Any], type_: Any) -> None:
    reference = take(out())
    assert data(reference) == {"$ref": "make", "path": path}
    assert wire_of(reference).type == type_


def test_an_output_of_a_job_without_annotation_may_be_anything() -> None:
    assert data(Workflow("w").add("u", Untyped()).output.a[0]) == {"$ref": "u", "path": ["a", 0]}


def test_named_outputs_params_and_items_have_forms_of_their_own() -> None:
    wf = Workflow("w")
    node = wf.add("make", Make())
    assert data(node.outputs("rows")[2]) == {"$ref": "make", "output": "rows", "path": [2]}
    assert data(wf.param("market", str)) == {"$param": "market"}
    assert data(wf.param("box", Box[int]).content) == {"$param": "box", "path": ["content"]}
    seen: list[Any] = []

    def make(item: dict[str, int]) -> Nothing:
        seen.append(item)
        return Nothing()

    wf.map("m", make, over=[{"id": 1}])
    assert data(seen[0]["id"]) == {"$item": ["id"]}


@pytest.mark.parametrize(
    ("take", "message"),
    [
        (lambda o: o.txt, "make.output: Out has no field 'txt'. Did you mean 'text'?"),
        (lambda o: o.zzz, "make.output: Out has no field 'zzz'. It has text, flag, names,"),
        (lambda o: o.names.append, "make.output.names: list[str] has no fields; what a method would compute"),
        (lambda o: o.text.upper(), "make.output.text: str has no fields; what a method would compute is computed in a job"),
        (lambda o: o.point.leftSide, "make.output.point: Point has no field 'leftSide'. Did you mean 'left_side'?"),
        (lambda o: o.maybe.rightSide, "make.output.maybe: Point | None has no field 'rightSide'"),
        (lambda o: o.size.width, "make.output.size: Size has no fields"),
    ],
)
def test_a_field_that_is_not_there_is_told_at_once_with_near_names(take: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(AttributeError) as caught:
        take(out())
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("take", "message"),
    [
        (lambda o: o.names[-1], "make.output.names: [-1] counts from the end, which is not known yet: take it in a job"),
        (lambda o: o.names[1:], "[slice(1, None, None)] is no place in JSON: expected the text of a key or a number"),
        (lambda o: o.names["a"], "make.output.names: list[str] has no item 'a'"),
        (lambda o: o.fixed[2], "make.output.fixed: tuple[int, str] has no item 2"),
        (lambda o: o.size["widht"], "make.output.size: Size has no key 'widht'. Did you mean 'width'?"),
        (lambda o: o.text[0], "make.output.text: str has no item 0"),
        (lambda o: o["text"], "make.output: Out has no item 'text'"),
        (lambda o: o.names[True], "[True] is no place in JSON"),
    ],
)
def test_an_item_that_is_not_there_is_told_at_once(take: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(ReferenceMisuse) as caught:
        take(out())
    assert message in str(caught.value)


def test_the_output_of_a_job_that_returns_nothing_has_no_parts() -> None:
    nothing: Any = Workflow("w").add("n", Nothing())
    with pytest.raises(AttributeError, match=r"n.output: None has no fields"):
        _ = nothing.output.x


@pytest.mark.parametrize(
    ("misuse", "cure"),
    [
        (bool, "give a condition to when=, joined with & | ~"),
        (lambda o: o.flag and o.text, "if, and, or, not and chained comparisons"),
        (lambda o: not o, "give a condition to when="),
        (lambda o: 1 if o else 2, "give a condition to when="),
        (list, "for one execution per item use wf.map(name, lambda item: ..., over=...)"),
        (len, "use wf.map"),
        (lambda o: "x" in o, "use wf.map"),
        (lambda o: [*o], "use wf.map"),
        (max, "use wf.map"),
        (reversed, "use wf.map"),
        (next, "use wf.map"),
        (str, "text cannot be made of it; pass it to a job as an input and make the text there"),
        (lambda o: f"{o}", "text cannot be made of it"),
        (lambda o: f"{o:>3}", "text cannot be made of it"),
        ("{}".format, "text cannot be made of it"),
        (lambda o: "%s" % o, "text cannot be made of it"),  # noqa: UP031
        (os.fspath, "text cannot be made of it"),
        (bytes, "text cannot be made of it"),
        (lambda o: o + 1, "nothing can be computed with it; pass it to a job as an input and compute there"),
        (lambda o: "a" + o, "nothing can be computed with it"),
        (lambda o: [1] * o, "nothing can be computed with it"),
        (lambda o: -o, "nothing can be computed with it"),
        (lambda o: o ^ o, "nothing can be computed with it"),
        (lambda o: o << 1, "nothing can be computed with it"),
        (int, "nothing can be computed with it"),
        (float, "nothing can be computed with it"),
        (range, "nothing can be computed with it"),
        (round, "nothing can be computed with it"),
        (math.floor, "nothing can be computed with it"),
        (abs, "nothing can be computed with it"),
        (hash, "it can be neither in a set nor a key of a dict"),
        (lambda o: {o: 1}, "it can be neither in a set nor a key of a dict"),
        (lambda o: {o}, "it can be neither in a set nor a key of a dict"),
        (lambda o: o(), "it has no methods"),
        (lambda o: o.__enter__(), "it has no methods"),
        (lambda o: setattr(o, "text", 1), "it cannot be changed; a job returns a new value"),
        (lambda o: o.__setitem__(0, 1), "it cannot be changed"),
        (lambda o: o.__delitem__(0), "it cannot be changed"),
        (lambda o: delattr(o, "text"), "it cannot be changed"),
    ],
)
def test_using_a_reference_as_a_value_is_refused_at_once_with_its_node_and_the_cure(
    misuse: Callable[[Any], Any], cure: str
) -> None:
    with pytest.raises(ReferenceMisuse) as caught:
        misuse(out())
    assert str(caught.value).startswith(("make.output is the output of node 'make'", "make.output.flag is the output of node"))
    assert cure in str(caught.value)


async def _await(reference: Any) -> None:
    await reference


def test_awaiting_a_reference_is_refused() -> None:
    with pytest.raises(ReferenceMisuse, match="it has no methods"):
        _await(out()).send(None)


def test_misuse_of_a_parameter_or_an_item_says_what_it_is() -> None:
    wf = Workflow("w")
    with pytest.raises(ReferenceMisuse, match=r"param 'market' is a parameter of the run, known only"):
        str(wf.param("market", str))
    with pytest.raises(ReferenceMisuse, match="m's item is an item of the fan-out 'm', known only"):
        wf.map("m", lambda item: shop.Finalizer(dataset=f"{item}"), over=["a"])


def test_a_misuse_is_an_error_of_this_package_and_a_type_error() -> None:
    assert issubclass(ReferenceMisuse, KlassdError)
    assert issubclass(ReferenceMisuse, TypeError)


def test_a_reference_can_be_shown_and_copied() -> None:
    reference = out().names
    assert repr(reference) == "<reference make.output.names>"
    assert copy.copy(reference) is reference
    assert copy.deepcopy([reference])[0] is reference


def test_a_node_used_in_place_of_its_output_says_so() -> None:
    node: Any = Workflow("w").add("make", Make())
    with pytest.raises(AttributeError, match=r"<node 'make'> has no 'text'; what its job returns is under .output"):
        _ = node.text
    with pytest.raises(ReferenceMisuse, match=r"when= takes make.succeeded"):
        bool(node)


# -- conditions -----------------------------------------------------------------------------------------------------

TEXT = {"$ref": "make", "path": ["text"]}
FLAG = {"$ref": "make", "path": ["flag"]}
IS_X, IS_Y = Compare("==", TEXT, "x"), Compare("==", TEXT, "y")


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda o: o.text == "x", IS_X),
        (lambda o: o.text == "x", IS_X),
        (lambda o: o.text != "x", Compare("!=", TEXT, "x")),
        (lambda o: o.text < "x", Compare("<", TEXT, "x")),
        (lambda o: o.text <= "x", Compare("<=", TEXT, "x")),
        (lambda o: o.text > "x", Compare(">", TEXT, "x")),
        (lambda o: o.text >= "x", Compare(">=", TEXT, "x")),
        (lambda o: o.text < "x", Compare("<", TEXT, "x")),
        (lambda o: "x" < o.text, Compare(">", TEXT, "x")),  # noqa: SIM300
        (lambda o: o.text == o.names[0], Compare("==", TEXT, {"$ref": "make", "path": ["names", 0]})),
        (lambda o: o.text == {"$ref": 1}, Compare("==", TEXT, {"$literal": {"$ref": 1}})),
        (lambda o: o.text == shop.Sold("a", 1), Compare("==", TEXT, {"market": "a", "pieces": 1})),
        (lambda o: o.flag, Truth(FLAG)),
        (lambda o: ~o.flag, Not(Truth(FLAG))),
        (lambda o: not_(o.text == "x"), Not(IS_X)),
        (lambda o: (o.text == "x") & (o.text == "y"), All((IS_X, IS_Y))),
        (lambda o: (o.text == "x") & (o.text == "y") & o.flag, All((IS_X, IS_Y, Truth(FLAG)))),
        (lambda o: o.flag & (o.text == "x"), All((Truth(FLAG), IS_X))),
        (lambda o: o.flag & o.flag, All((Truth(FLAG), Truth(FLAG)))),
        (lambda o: o.flag | (o.text == "x"), AnyOf((Truth(FLAG), IS_X))),
        (lambda o: (o.text == "x") | (o.text == "y") & o.flag, AnyOf((IS_X, All((IS_Y, Truth(FLAG)))))),
        (lambda o: True & (o.text == "x"), All((Truth(True), IS_X))),
        (lambda o: False | o.flag, AnyOf((Truth(False), Truth(FLAG)))),
        (lambda o: True, Truth(True)),
    ],
)
def test_conditions_are_data(make: Callable[[Any], Any], expected: Any) -> None:
    assert condition(make(out())).data == expected


def test_outcomes_of_nodes_are_conditions() -> None:
    wf = Workflow("w")
    a, b = wf.add("a", Make()), wf.add("b", Make())
    assert (a.failed | ~b.succeeded).data == AnyOf((Outcome("a", "failed"), Not(Outcome("b", "succeeded"))))
    assert [wire.node for wire in (a.failed & b.failed).wires] == ["a", "b"]


@pytest.mark.parametrize(
    ("misuse", "message"),
    [
        (lambda o: bool(o.text == "x"), "give a condition to when=, joined with & | ~"),
        (lambda o: 1 < o.anything < 3, "if, and, or, not and chained comparisons cannot look at it"),
        (lambda o: (o.text == "x") and o.flag, "<condition on make.output.text> holds or not only when the workflow runs"),
        (lambda o: (o.text == "x") == True, "it is no value to compare"),  # noqa: E712
        (lambda o: {o.text == "x"}, "it is no value to compare or to keep in a set"),
        (lambda o: o.text & o.flag, "make.output.text is no boolean: compare it (make.output.text == ...)"),
        (lambda o: o.flag & "x", "'x' is no condition: expected a comparison, node.failed or node.succeeded"),
        (lambda o: o.flag | len, "call a function with the data it needs: call(function, name=node.output...)"),
        (lambda o: o.text == object(), "a value of type object cannot be written as JSON"),
    ],
)
def test_misuse_of_a_condition_is_refused_at_once(misuse: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(TypeError) as caught:
        misuse(out())
    assert message in str(caught.value)


def test_a_function_decides_with_arguments_taken_from_data() -> None:
    found = call(shop.needs_report, out().text, pieces=3)
    assert found.data == Call("catalog_flow:needs_report", {"status": TEXT, "pieces": 3})
    assert [wire.node for wire in found.wires] == ["make"]
    assert found.problems == ()
    assert isinstance(found | out().flag, Condition)


def test_wrong_arguments_of_a_function_are_problems_of_the_node() -> None:
    status: Any = 3
    found = call(shop.needs_report, status=status, pieces=out().text)
    assert list(found.problems) == [
        "call(needs_report): field 'status': expected str, got int 3",
        "call(needs_report): field 'pieces': expected int, got make.output.text of type str",
    ]


async def decides_later() -> bool:
    return True


def test_a_function_that_cannot_be_imported_again_is_refused_with_the_reason() -> None:
    def local() -> bool:
        return True

    with pytest.raises(ConfigurationError, match="a lambda is no condition: it has no name to import it by"):
        call(lambda: True)
    with pytest.raises(ConfigurationError, match="stands inside a function or class, where no other process can import it"):
        call(local)
    later: Any = decides_later
    with pytest.raises(ConfigurationError, match="condition decides_later is async: a condition decides at once"):
        call(later)


def test_a_function_called_with_other_arguments_than_it_has_is_refused_at_once() -> None:
    wrong: Any = {"state": "ok"}
    with pytest.raises(TypeError, match="missing a required argument: 'status'"):
        call(shop.needs_report, **wrong)


def test_references_are_of_no_use_outside_of_a_workflow() -> None:
    from klassd.workflows import InvalidInput
    from klassd.workflows.job import job_info

    instance = shop.Finalizer(dataset=out().text)
    assert isinstance(instance.dataset, Reference)
    with pytest.raises(
        InvalidInput, match=r"field 'dataset': <reference make.output.text> has a value only while its workflow runs"
    ):
        job_info(instance).encode(instance)


def test_literals_of_fields_are_compared_as_their_json() -> None:
    mode: Literal["ok"] = "ok"
    assert (out().anything == mode).data.right == "ok"
