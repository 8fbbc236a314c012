"""URLs of artifact stores: ``s3://bucket/prefix?option=value``. They are stored with orders and shown, so nothing secret may
stand in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from klassd.workflows.artifacts.names import split_key
from klassd.workflows.errors import ArtifactError, ConfigurationError

Reader = Callable[[str], Any]


class Place(msgspec.Struct, frozen=True):
    bucket: str
    prefix: str  # "" or "some/where/", in front of every key
    options: dict[str, Any]
    shown: str


def shown(url: str) -> str:
    """A URL as it may be shown: without a user, a password or options."""
    scheme, colon, rest = url.partition("://")
    if not colon:
        return url
    host, slash, path = rest.partition("?")[0].partition("#")[0].partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def place_of(url: str, readers: Mapping[str, Reader]) -> Place:
    """The parts of ``url``. ``readers``: the options it may have. Raises ConfigurationError, which repeats no secret."""
    parts = urlsplit(url)
    if "@" in parts.netloc or "@" in unquote(parts.query):
        raise _refused(url, "holds credentials", "credentials from the environment or a file, never in the URL")
    bucket, prefix = parts.netloc, unquote(parts.path).strip("/")
    if not bucket:
        raise _refused(url, "names no bucket", f"{parts.scheme}://BUCKET/PREFIX")
    return Place(bucket, _checked(url, prefix), _options(url, parts.query, readers), shown(url))


def switch(text: str) -> bool:
    """``true`` or ``false``."""
    if text not in ("true", "false"):
        raise ValueError("expected true or false")
    return text == "true"


def endpoint(text: str) -> str:
    """The URL of a server."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
        raise ValueError("expected https://HOST:PORT")
    return text.rstrip("/")


def _checked(url: str, prefix: str) -> str:
    try:
        return "/".join(split_key(prefix)) + "/" if prefix else ""
    except ArtifactError as error:
        raise _refused(url, f"has a prefix that cannot be used: {error}", "a plain one, or none") from None


def _options(url: str, query: str, readers: Mapping[str, Reader]) -> dict[str, Any]:
    given = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := sorted(given.keys() - readers.keys()):
        known = ", ".join(readers)
        raise _refused(url, f"has the option {', '.join(unknown)}", f"some of {known}; credentials never stand in a URL")
    return {name: _read(url, name, text, readers[name]) for name, text in given.items()}


def _read(url: str, name: str, text: str, reader: Reader) -> Any:
    try:
        return reader(text)
    except ValueError as error:
        raise _refused(url, f"has {name}={text!r}", str(error).partition("expected ")[2]) from None


def _refused(url: str, found: str, expected: str) -> ConfigurationError:
    return ConfigurationError(f"artifacts={shown(url)!r} {found}: expected {expected}")
