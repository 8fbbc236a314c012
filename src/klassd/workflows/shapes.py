"""What a type says of the JSON its values become: its members, its items, and whether one fits where another is wanted."""

from __future__ import annotations

import dataclasses
import functools
import operator
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal, NewType, TypeVar, Union, get_args, get_origin, get_type_hints, is_typeddict

import msgspec

from klassd.workflows.fields import describe
from klassd.workflows.importable import near

Step = str | int  # of a path: a key of an object, a place in an array
Members = dict[str, tuple[Step, Any]]  # name in Python -> where it lies in the JSON, its type
_LISTS = (list, tuple, set, frozenset)
_OPEN = (Any, object, dataclasses.MISSING)


class NoSuchMember(Exception):
    """Says what there is instead."""


def plain(type_: Any) -> Any:
    """Without the wrappers that do not change the JSON."""
    while get_origin(type_) is Annotated or isinstance(type_, NewType):
        type_ = type_.__supertype__ if isinstance(type_, NewType) else get_args(type_)[0]
    return type_


def is_open(type_: Any) -> bool:
    """Whether nothing is known of its values."""
    return any(type_ is each for each in _OPEN) or isinstance(type_, TypeVar)


def alternatives(type_: Any) -> list[Any]:
    """The members of a union, the single values of a literal, or the type itself."""
    type_ = plain(type_)
    if get_origin(type_) in (Union, types.UnionType):
        return [each for part in get_args(type_) for each in alternatives(part)]
    if get_origin(type_) is Literal:
        return [Literal[value] for value in get_args(type_)]
    return [type_]


def _present(type_: Any) -> list[Any]:
    return [each for each in alternatives(type_) if each is not type(None)]


# -- members and items ----------------------------------------------------------------------------------------------


def member(type_: Any, name: str) -> tuple[Step, Any]:
    """Where attribute ``name`` lies in the JSON, and its type. Raises ``NoSuchMember``."""
    found: Members = {}
    for each in _present(type_):
        if is_open(each):
            return name, Any
        found |= members(each)
    if name in found:
        return found[name]
    if found:
        raise NoSuchMember(f"{describe(type_)} has no field {name!r}.{near(name, found) or f' It has {_listed(found)}.'}")
    raise NoSuchMember(
        f"{describe(type_)} has no fields; what a method would compute is computed in a job that takes it as an input"
    )


def item(type_: Any, key: object) -> tuple[Step, Any]:
    """Where ``[key]`` lies in the JSON, and its type. Raises ``NoSuchMember``."""
    problems = []
    for each in _present(type_):
        try:
            return _item(each, key)
        except NoSuchMember as error:
            problems.append(str(error))
    raise NoSuchMember("; ".join(problems) or "None has no items")


def _item(type_: Any, key: object) -> tuple[Step, Any]:
    if not isinstance(key, str | int) or isinstance(key, bool):
        raise NoSuchMember(f"[{key!r}] is no place in JSON: expected the text of a key or a number; slices are taken in a job")
    if is_open(type_):
        return key, Any
    if isinstance(key, int) and key < 0:
        raise NoSuchMember(f"[{key}] counts from the end, which is not known yet: take it in a job")
    if is_typeddict(type_) or _of(type_, Mapping):
        return _key(type_, key)
    return key, _element_at(type_, key)


def _key(type_: Any, key: Step) -> tuple[Step, Any]:
    if not is_typeddict(type_):
        arguments = get_args(type_)
        return str(key), arguments[1] if len(arguments) == 2 else Any
    hints = get_type_hints(type_)
    if key not in hints:
        raise NoSuchMember(f"{describe(type_)} has no key {key!r}.{near(str(key), hints) or f' It has {_listed(hints)}.'}")
    return key, hints[str(key)]


def _element_at(type_: Any, key: Step) -> Any:
    arguments = get_args(type_)
    if isinstance(key, int) and get_origin(type_) is tuple and Ellipsis not in arguments:
        if key >= len(arguments):
            raise NoSuchMember(f"{describe(type_)} has no item {key}")
        return arguments[key]
    inside = next((hint for step, hint in members(type_).values() if step == key), None) or element(type_)
    if inside is None or not isinstance(key, int):
        raise NoSuchMember(f"{describe(type_)} has no item {key!r}")
    return inside


def element(type_: Any) -> Any:
    """The type of its items where it becomes a JSON array, else None."""
    found = [_element(each) for each in alternatives(type_)]
    return None if None in found else _union(found)


def _element(type_: Any) -> Any:
    if is_open(type_):
        return Any
    origin, arguments = get_origin(type_) or type_, get_args(type_)
    if not isinstance(origin, type) or issubclass(origin, str | bytes | Mapping) or not issubclass(origin, Iterable):
        return None
    if not (issubclass(origin, _LISTS) or origin.__module__ == "collections.abc") or hasattr(origin, "_fields"):
        return None
    if origin is tuple and arguments and Ellipsis not in arguments:
        return _union(arguments)
    return arguments[0] if arguments else Any


def _union(types_: Iterable[Any]) -> Any:
    return functools.reduce(operator.or_, types_)


def members(type_: Any) -> Members:
    """The attributes of its values that are part of their JSON. Empty: it has none."""
    origin = get_origin(type_) or type_
    for knows, read in _KINDS:
        if knows(origin):
            return _bound(type_, origin, read(origin))
    return {}


def _struct(cls: Any) -> Members:
    array = cls.__struct_config__.array_like
    fields = msgspec.structs.fields(cls)
    return {each.name: (place if array else each.encode_name, each.type) for place, each in enumerate(fields)}


def _dataclass(cls: Any) -> Members:
    hints = get_type_hints(cls)
    return {each.name: (each.name, hints.get(each.name, Any)) for each in dataclasses.fields(cls)}


def _named_tuple(cls: Any) -> Members:
    hints = get_type_hints(cls)
    return {name: (place, hints.get(name, Any)) for place, name in enumerate(cls._fields)}


def _attrs(cls: Any) -> Members:
    hints = get_type_hints(cls)
    return {each.name: (each.name, hints.get(each.name, Any)) for each in cls.__attrs_attrs__}


def _pydantic(cls: Any) -> Members:
    return {
        name: (field.serialization_alias or field.alias or name, field.annotation) for name, field in cls.model_fields.items()
    }


_KINDS: list[tuple[Callable[[Any], bool], Callable[[Any], Members]]] = [
    (lambda cls: isinstance(cls, type) and issubclass(cls, msgspec.Struct), _struct),
    (lambda cls: isinstance(cls, type) and dataclasses.is_dataclass(cls), _dataclass),
    (lambda cls: isinstance(cls, type) and issubclass(cls, tuple) and hasattr(cls, "_fields"), _named_tuple),
    (lambda cls: hasattr(cls, "__attrs_attrs__"), _attrs),
    (lambda cls: hasattr(cls, "model_fields"), _pydantic),
]


def _bound(type_: Any, origin: Any, found: Members) -> Members:
    """The members of ``Box[int]`` with ``int`` where ``Box`` says ``T``."""
    given = dict(zip(getattr(origin, "__parameters__", ()), get_args(type_), strict=False))
    return {name: (step, _substituted(hint, given)) for name, (step, hint) in found.items()}


def _substituted(hint: Any, given: Mapping[Any, Any]) -> Any:
    if isinstance(hint, TypeVar):
        return given.get(hint, Any)
    parameters = getattr(hint, "__parameters__", ())
    if not parameters or isinstance(hint, type):
        return hint
    return hint[tuple(given.get(each, Any) for each in parameters)]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


# -- does it fit? ---------------------------------------------------------------------------------------------------


def fits(source: Any, target: Any) -> bool:
    """Whether values of ``source`` may be given where ``target`` is wanted. True where that cannot be told."""
    wanted = alternatives(target)
    return any(is_open(each) for each in wanted) or all(
        is_open(each) or any(_fits(each, one) for one in wanted) for each in alternatives(source)
    )


def _fits(source: Any, target: Any) -> bool:
    if source == target:
        return True
    if get_origin(target) is Literal:
        return False
    if get_origin(source) is Literal:
        return _fits(type(get_args(source)[0]), target)
    return _class_fits(get_origin(source) or source, get_origin(target) or target) and _arguments_fit(source, target)


def _class_fits(source: Any, target: Any) -> bool:
    if is_typeddict(target):
        return is_typeddict(source)  # of two, the JSON will tell
    if not isinstance(source, type) or not isinstance(target, type):
        return True
    try:
        return issubclass(source, target) or (source is int and target is float)
    except TypeError:  # a protocol that cannot be asked
        return True


def _arguments_fit(source: Any, target: Any) -> bool:
    if (wanted := element(target)) is not None and (given := element(source)) is not None:
        exact = [get_args(each) for each in (source, target) if get_origin(each) is tuple and Ellipsis not in get_args(each)]
        if len(exact) == 2:
            return len(exact[0]) == len(exact[1]) and all(map(fits, *exact))
        return fits(given, wanted)
    sources, targets = get_args(source), get_args(target)
    return len(sources) != len(targets) or all(map(fits, sources, targets))


def _of(type_: Any, base: type) -> bool:
    origin = get_origin(type_) or type_
    return isinstance(origin, type) and issubclass(origin, base)
