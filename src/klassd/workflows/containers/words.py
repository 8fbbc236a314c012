"""What a container is given, as the text that programs take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from klassd.workflows.errors import LaunchRefused

WORD = 128 * 1024 - 1  # bytes of one argument, or of NAME=VALUE: Linux starts no program with a longer one
ALL = 512 * 1024  # bytes of all of them; Kubernetes keeps them twice, in objects of at most 1.5 MiB


class Words(msgspec.Struct, frozen=True):
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}


def words(job: str, inputs: Mapping[str, Any]) -> Words:
    """Of the inputs "args" and "env". Raises ``LaunchRefused`` for what no program can be given."""
    env = {name: text(value) for name, value in inputs.get("env", {}).items() if value is not None}
    found = Words(tuple(map(text, inputs.get("args", ()))), env)
    if problems := list(_problems(found)):
        raise LaunchRefused(f"{job} cannot be given that: {'; '.join(problems)}")
    return found


def text(value: Any) -> str:
    """Text as it is, anything else as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _problems(given: Words) -> Iterator[str]:
    named = [(f"argument {place}", word) for place, word in enumerate(given.args, 1)]
    named += [(f"variable {name!r}", f"{name}={value}") for name, value in given.env.items()]
    sizes = [len(word.encode("utf-8", "surrogatepass")) for _, word in named]
    for (name, word), size in zip(named, sizes, strict=True):
        if "\0" in word:
            yield f"{name} has a NUL in it"
        if size > WORD:
            yield f"{name} has {size:,} bytes, at most {WORD:,}: store large data and pass where it is"
    if sum(sizes) > ALL:
        yield f"its arguments and variables have {sum(sizes):,} bytes, at most {ALL:,}: store large data and pass where it is"
