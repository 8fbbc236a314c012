"""What is wrong with a container as it was written, all at once."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from klassd.workflows.errors import ConfigurationError
from klassd.workflows.fields import json_bytes
from klassd.workflows.job_options import checked
from klassd.workflows.pod_shape import ConfigMapKey, PodField, SecretKey

OF_SYSTEM = ("/dev", "/proc", "/sys")  # directories that nothing can be mounted over
OF_KLASSD = "/run/klassd"


def problems(image: Any, command: Any, args: Any, env: Any, outputs: Any, options: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(image, str) or not image or any(map(str.isspace, image)):
        yield f"image is {image!r}: expected an image reference such as 'registry/image:tag'"
    yield from _command(command)
    yield from _args(args)
    yield from _env(env)
    yield from _outputs(outputs)
    yield from _options(options)


def _list(name: str, value: Any) -> str | None:
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return None
    return f"{name} is {value!r}: expected a list, one text for each word; no shell reads it"


def _command(command: Any) -> Iterator[str]:
    if problem := _list("command", command):
        yield problem
        return
    yield from (f"command has {word!r}: expected text" for word in command if not isinstance(word, str) or "\0" in word)


def _args(args: Any) -> Iterator[str]:
    if problem := _list("args", args):
        yield problem
        return
    yield from (
        f"args has {each!r}: text with a NUL cannot be passed" for each in args if isinstance(each, str) and "\0" in each
    )


def _env(env: Any) -> Iterator[str]:
    if not isinstance(env, Mapping):
        yield f"env is {env!r}: expected names with values"
        return
    for name, value in env.items():
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            yield f"env has {name!r}: expected the name of a variable"
        if isinstance(value, str) and "\0" in value:
            yield f"env {name!r} is {value!r}: text with a NUL cannot be passed"
        if isinstance(value, SecretKey | ConfigMapKey | PodField):
            yield f"env {name!r} is a {type(value).__name__}: what only the cluster knows goes to pod=Pod(env=...)"


def _outputs(outputs: Any) -> Iterator[str]:
    from klassd.workflows.containers.container import FileOutput

    if not isinstance(outputs, Mapping):
        yield f"outputs is {outputs!r}: expected names with files, {{'rows': FileOutput('/out/rows.json')}}"
        return
    for name, output in outputs.items():
        if not isinstance(name, str) or not 0 < len(name) <= 128:
            yield f"outputs has {name!r}: expected a name of 1 to 128 characters"
        if not isinstance(output, FileOutput):
            yield f"output {name!r} is {output!r}: expected FileOutput('/out/rows.json')"
        else:
            yield from (f"output {name!r}: {problem}" for problem in _output(output))


def _output(output: Any) -> Iterator[str]:
    if problem := _path(output.path):
        yield f"path is {output.path!r}: {problem}"
    if output.format not in ("json", "text"):
        yield f"format is {output.format!r}: expected 'json' or 'text'"
    try:
        json_bytes(None if output.default is msgspec.UNSET else output.default)
    except TypeError as error:
        yield f"default is {output.default!r}: {error}"


def _path(path: Any) -> str | None:
    if not isinstance(path, str) or not path.startswith("/") or posixpath.normpath(path) != path or set(path) & set("\0:,"):
        return "expected an absolute path such as '/out/rows.json', without '..', ':' and ','"
    directory = posixpath.dirname(path)
    if directory == "/":
        return f"expected a file in a directory of its own, such as '/out{path}': that directory becomes a volume"
    if any(directory == other or directory.startswith(f"{other}/") for other in (*OF_SYSTEM, OF_KLASSD)):
        return f"{directory} is not a directory to write files to; take one such as '/out'"
    return None


def _options(options: Mapping[str, Any]) -> Iterator[str]:
    try:
        pod = checked("Container", options).get("pod")
    except ConfigurationError as error:
        yield str(error).removeprefix("Container: ")
        return
    if pod is not None and pod.image is not None:
        yield f"pod= has the image {pod.image!r}: a container's image is its first argument"
