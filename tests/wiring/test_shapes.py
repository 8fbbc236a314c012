from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NewType, Protocol, TypedDict, TypeVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from klassd.workflows import Artifact
from klassd.workflows.shapes import element, fits

T = TypeVar("T")
UserId = NewType("UserId", str)


class Colour(enum.StrEnum):
    RED = "red"


@dataclass
class Base: ...


@dataclass
class Derived(Base): ...


@dataclass
class Box(Generic[T]):
    content: T


class Size(TypedDict):
    width: int


class Named(Protocol):
    name: str


FITTING: list[tuple[Any, Any]] = [
    (str, str),
    (str, Any),
    (Any, str),
    (str, object),
    (T, str),
    (bool, int),
    (int, float),
    (Derived, Base),
    (str, str | None),
    (None, str | None),
    (type(None), None | int),
    (int | str, int | str | None),
    (UserId, str),
    (str, UserId),
    (Annotated[int, msgspec.Meta(ge=1)], int),
    (int, Annotated[int, msgspec.Meta(ge=1)]),
    (list[str], list[str]),
    (list[str], Sequence[str]),
    (list[Derived], list[Base]),
    (list, list[str]),
    (list[str], list),
    (list[int], list[Any]),
    (list[int], list[int | None]),
    (tuple[int, str], tuple[int, str]),
    (tuple[int, ...], Sequence[int]),
    (tuple[int, bool], tuple[int, ...]),
    (set[int], set[int]),
    (dict[str, int], dict[str, int]),
    (dict[str, int], Mapping[str, int]),
    (Literal["a"], Literal["a", "b"]),
    (Literal["a"], str),
    (Literal["a", 1], str | int),
    (Colour, Colour),
    (Colour, str),
    (Artifact[bytes], Artifact[bytes]),
    (Artifact[bytes], Artifact),
    (Box[int], Box[int]),
    (Box[int], Box),
    (Size, Size),
    (Size, dict[str, Any]),
    (dt.datetime, dt.date),
    (Base, Named),
]
UNFIT: list[tuple[Any, Any]] = [
    (list[str], str),
    (str, int),
    (int, str),
    (float, int),
    (str, bool),
    (Base, Derived),
    (Base, str),
    (str | None, str),
    (int | str, int),
    (list[str], list[int]),
    (list[str | None], list[str]),
    (str, list[str]),
    (tuple[int, str], tuple[int, int]),
    (tuple[int, str], tuple[int]),
    (tuple[int, str], tuple[int, ...]),
    (set[int], list[int]),
    (dict[str, int], dict[str, str]),
    (dict[str, int], list[str]),
    (Literal["c"], Literal["a", "b"]),
    (str, Literal["a"]),
    (Literal["a"], int),
    (type(None), str),
    (Artifact[bytes], Artifact[str]),
    (Box[int], Box[str]),
    (Box[int], str),
    (Size, Base),
    (Base, Size),
    (dt.date, str),
    (str, Decimal),
]


@pytest.mark.parametrize(("source", "target"), FITTING)
def test_it_fits(source: Any, target: Any) -> None:
    assert fits(source, target)


@pytest.mark.parametrize(("source", "target"), UNFIT)
def test_it_does_not_fit(source: Any, target: Any) -> None:
    assert not fits(source, target)


SCALARS = st.sampled_from([int, str, float, bool, bytes, dt.date, Decimal, Base, Colour, type(None), Literal["a"], Size, Any])
TYPES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: (
        inner.map(lambda each: list[each])  # type: ignore[valid-type]
        | inner.map(lambda each: dict[str, each])  # type: ignore[valid-type]
        | st.tuples(inner, inner).map(lambda two: tuple[two[0], two[1]])  # type: ignore[valid-type]
        | inner.map(lambda each: each | None)
    ),
    max_leaves=5,
)


@given(TYPES)
def test_every_type_fits_itself_a_wider_one_and_anything(type_: Any) -> None:
    assert fits(type_, type_)
    assert fits(type_, type_ | None)
    assert fits(type_, Any)
    assert fits(list[type_], Sequence[type_])


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        (list[str], str),
        (list, Any),
        (Sequence[int], int),
        (tuple[int, ...], int),
        (tuple[int, str], int | str),
        (set[int], int),
        (Any, Any),
        (list[int] | tuple[str, ...], int | str),
        (str, None),
        (bytes, None),
        (dict[str, int], None),
        (list[int] | None, None),
        (Base, None),
        (int, None),
    ],
)
def test_the_items_of_a_list_have_this_type(type_: Any, expected: Any) -> None:
    assert element(type_) == expected
