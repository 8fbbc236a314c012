from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import pathlib
import uuid
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypedDict, TypeVar

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from klassd.workflows import Artifact, InvalidInput, Job
from klassd.workflows.job import encode_output, job_info

T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclasses.dataclass
class Item:
    sku: str
    price: Decimal
    tags: list[str] = dataclasses.field(default_factory=list)


class Point(msgspec.Struct, rename="camel"):
    left_side: int
    top_side: float = 0.0


class Pair(NamedTuple):
    first: int
    second: str


class Size(TypedDict):
    width: int
    height: int


@attrs.define
class Wheel:
    radius: int


class Person(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)
    name: str = pydantic.Field(min_length=1, alias="fullName")
    born: dt.date


@dataclasses.dataclass
class Box(Generic[T]):
    content: T


class Everything(Job):
    whole: int
    small: Annotated[int, msgspec.Meta(ge=1, le=10)]
    real: float
    text: str
    flag: bool
    raw: bytes
    day: dt.date
    instant: dt.datetime
    span: dt.timedelta
    clock: dt.time
    ident: uuid.UUID
    money: Decimal
    colour: Colour
    level: Level
    mode: Literal["fast", "slow"]
    path: pathlib.Path
    either: int | str | None
    item: Item
    items: list[Item]
    point: Point
    pair: Pair
    fixed: tuple[int, str]
    row: tuple[int, ...]
    unique: set[int]
    table: dict[str, float]
    by_number: dict[int, str]
    size: Size
    wheel: Wheel
    person: Person | None
    people: list[Person]
    parcel: Artifact[Item] | None
    box: Box[int]
    anything: Any

    def run(self, ctx: Any) -> None: ...


TEXT = st.text(max_size=20)
MONEY = st.decimals(allow_nan=False, allow_infinity=False, places=2)
DAYS = st.dates()
ITEMS = st.builds(Item, sku=TEXT, price=MONEY, tags=st.lists(TEXT, max_size=3))
PEOPLE = st.builds(lambda name, born: Person(fullName=name, born=born), st.text(min_size=1, max_size=9), DAYS)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
PARCELS: st.SearchStrategy[Artifact[Any]] = st.builds(
    Artifact, key=TEXT, size=st.integers(0, 2**40), sha256=TEXT, media_type=TEXT
)
INSTANCES = st.builds(
    Everything,
    whole=st.integers(-(2**63), 2**64 - 1),
    small=st.integers(1, 10),
    real=NUMBERS,
    text=TEXT,
    flag=st.booleans(),
    raw=st.binary(max_size=20),
    day=DAYS,
    instant=st.datetimes(timezones=st.sampled_from([dt.UTC])),
    span=st.timedeltas(min_value=dt.timedelta(days=-10_000), max_value=dt.timedelta(days=10_000)),
    clock=st.times(),
    ident=st.uuids(),
    money=MONEY,
    colour=st.sampled_from(Colour),
    level=st.sampled_from(Level),
    mode=st.sampled_from(["fast", "slow"]),
    path=st.sampled_from([pathlib.Path("/tmp/x"), pathlib.Path("a/b")]),
    either=st.none() | st.integers(0, 9) | TEXT,
    item=ITEMS,
    items=st.lists(ITEMS, max_size=2),
    point=st.builds(Point, left_side=st.integers(0, 9), top_side=NUMBERS),
    pair=st.builds(Pair, st.integers(0, 9), TEXT),
    fixed=st.tuples(st.integers(0, 9), TEXT),
    row=st.lists(st.integers(0, 9), max_size=3).map(tuple),
    unique=st.sets(st.integers(0, 99), max_size=4),
    table=st.dictionaries(TEXT, NUMBERS, max_size=3),
    by_number=st.dictionaries(st.integers(0, 99), TEXT, max_size=3),
    size=st.fixed_dictionaries({"width": st.integers(0, 9), "height": st.integers(0, 9)}),
    wheel=st.builds(Wheel, st.integers(0, 9)),
    person=st.none() | PEOPLE,
    people=st.lists(PEOPLE, max_size=2),
    parcel=st.none() | PARCELS,
    box=st.builds(Box, st.integers(0, 9)),
    anything=JSON,
)


@given(INSTANCES)
def test_inputs_come_back_as_they_were_sent(instance: Everything) -> None:
    info = job_info(Everything)
    inputs = info.encode(instance)
    assert info.build(inputs) == instance
    assert info.build(msgspec.json.decode(msgspec.json.encode(inputs))) == instance


def only(**given: Any) -> list[str]:
    """The problems of just these inputs."""
    with pytest.raises(InvalidInput) as caught:
        job_info(Everything).build(given)
    return [each for each in caught.value.problems if ": missing" not in each]


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("whole", "abc", "field 'whole': expected int, got str 'abc'"),
        ("whole", True, "field 'whole': expected int, got bool True"),
        ("whole", 1.5, "field 'whole': expected int, got float 1.5"),
        ("whole", None, "field 'whole': expected int, got null"),
        ("whole", "x" * 100, f"field 'whole': expected int, got str '{'x' * 79}…"),
        ("small", "abc", "field 'small': expected int, got str 'abc' (rule: int >= 1 <= 10)"),
        ("small", 0, "field 'small': expected int >= 1, got int 0 (rule: int >= 1 <= 10)"),
        ("flag", 1, "field 'flag': expected bool, got int 1"),
        ("raw", "?", "field 'raw': invalid base64 encoded string, got str '?' (rule: bytes)"),
        ("day", "tomorrow", "field 'day': invalid RFC3339 encoded date, got str 'tomorrow' (rule: date)"),
        ("ident", "x", "field 'ident': invalid UUID, got str 'x' (rule: UUID)"),
        ("colour", "green", "field 'colour': invalid enum value 'green' (rule: Colour ('red' or 'blue'))"),
        ("mode", "medium", "field 'mode': invalid enum value 'medium' (rule: 'fast' or 'slow')"),
        ("path", 3, "field 'path': expected Path, got int 3"),
        ("either", [], "field 'either': expected int | str | null, got list [] (rule: int | str | None)"),
        ("item", {"sku": 1}, "field 'item.sku': expected str, got int 1 (rule: Item)"),
        ("item", {"sku": "a"}, "field 'item': object missing required field price (rule: Item)"),
        (
            "items",
            [{"sku": "a", "price": "1", "tags": [2]}],
            "field 'items[0].tags[0]': expected str, got int 2 (rule: list[Item])",
        ),
        ("fixed", [1], "field 'fixed': expected array of length 2, got list [1] (rule: tuple[int, str])"),
        ("table", {"a": "b"}, "field 'table[...]': expected float, got str (rule: dict[str, float])"),
        ("by_number", {"a": "b"}, "field 'by_number': a key: expected int, got str (rule: dict[int, str])"),
        ("size", {"width": 1}, "field 'size': object missing required field height (rule: Size)"),
        ("parcel", {"key": "a"}, "field 'parcel': object missing required field size (rule: Artifact[Item] | None)"),
        ("box", {"content": "a"}, "field 'box.content': expected int, got str 'a' (rule: Box[int])"),
    ],
)
def test_a_wrong_value_is_told_with_field_value_and_rule(field: str, value: Any, problem: str) -> None:
    assert only(**{field: value}) == [problem]


def test_a_pydantic_model_tells_all_that_is_wrong_with_it() -> None:
    (problem,) = only(people=[{"fullName": "", "born": "x"}])
    assert problem.startswith("field 'people[0]': ")
    assert "fullName: String should have at least 1 character; born: Input should be a valid date" in problem


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        job_info(Everything).build({"whole": "x", "flg": True, "text": 1})
    problems = caught.value.problems
    assert problems[0] == "field 'whole': expected int, got str 'x'"
    assert "field 'small': missing (expected int >= 1 <= 10)" in problems
    assert "field 'text': expected str, got int 1" in problems
    assert problems[-1] == "field 'flg': there is no such field. Did you mean 'flag'?"
    assert str(caught.value).startswith(f"{__name__}:Everything: field 'whole'")


class Loose(Job):
    text: str = ""
    real: float = 0.0
    path: pathlib.Path = pathlib.Path()
    anything: Any = None
    day: dt.date | None = None

    def run(self, ctx: Any) -> None: ...


class Opaque: ...


def looped() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"text": 3}, "field 'text': expected str, got int 3"),
        ({"text": b"x"}, "field 'text': expected str, got bytes b'x'"),  # as JSON it would pass as the text 'eA=='
        ({"text": dt.date(2020, 1, 1)}, "field 'text': expected str, got date datetime.date(2020, 1, 1)"),
        ({"text": "\ud800"}, "field 'text': '\\ud800' cannot be written as JSON"),
        ({"path": b"x"}, "field 'path': expected Path, got bytes b'x'"),
        ({"real": float("nan")}, "field 'real': nan is no number of JSON"),
        ({"anything": [{"a": float("inf")}]}, "field 'anything': inf is no number of JSON"),
        ({"anything": [Opaque()]}, "field 'anything': a value of type Opaque cannot be written as JSON; use a dataclass"),
        ({"anything": looped()}, "field 'anything': a list that contains itself cannot be written as JSON"),
        ({"day": "soon"}, "field 'day': invalid RFC3339 encoded date, got str 'soon'"),
    ],
)
def test_a_live_instance_is_checked_when_it_is_sent(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        job_info(Loose).encode(Loose(**given))
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(problem)


def test_a_dict_keeps_its_order() -> None:
    sent = job_info(Loose).encode(Loose(anything={"b": 1, "a": 2}))
    assert list(sent["anything"]) == ["b", "a"]


@given(JSON)
def test_an_output_is_written_as_plain_json(value: Any) -> None:
    assert msgspec.json.decode(encode_output(value)) == value


def test_an_output_may_be_made_of_any_of_the_input_types() -> None:
    assert encode_output(Item("a", Decimal("1.5"))) == b'{"sku":"a","price":"1.5","tags":[]}'
    assert encode_output(Person(fullName="Bo", born=dt.date(2000, 1, 1))) == b'{"fullName":"Bo","born":"2000-01-01"}'
    assert encode_output([Colour.RED, pathlib.Path("x"), None, Wheel(1)]) == b'["red","x",null,{"radius":1}]'
    parcel: Artifact[bytes] = Artifact(key="k", size=1, sha256="00")
    assert msgspec.json.decode(encode_output(parcel))["key"] == "k"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            Opaque(),
            "a value of type Opaque cannot be written as JSON; use a dataclass, a msgspec.Struct or plain values",
        ),
        ({"a": [Opaque()]}, "a value of type Opaque cannot be written as JSON"),
        ((each for each in "ab"), "a value of type generator cannot be written as JSON"),
        (float("nan"), "nan is no number of JSON"),
        ([None, {"a": float("-inf")}], "-inf is no number of JSON"),
        (looped(), "a list that contains itself cannot be written as JSON"),
        ("\ud800", "cannot be written as JSON"),
    ],
)
def test_an_output_that_is_no_json_is_refused_with_its_type_and_a_cure(value: object, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        encode_output(value)
    assert message in str(caught.value)
