"""Names of artifacts: what people call them, and the segments of a key that they become.

A key is ``<run>/<execution>/<name>``, under its tenant's segment where it has one: segments of ``A-Z a-z 0-9 . _ - =``, at
most 128 characters, without a dot at either end, so that it is the same plain file or object name on every file system and
in every object store. People may call an artifact anything: ``segment_of`` writes capital letters and every other character as
``=XX`` per byte of UTF-8, one to one, so no two names meet, not even on a disk for which ``A`` is ``a``, and none leads
anywhere.
"""

from __future__ import annotations

import re

from klassd.workflows.errors import ArtifactError

MAX_SEGMENT = 128
MAX_SEGMENTS = 8

_SEGMENT = re.compile(r"(?!\.)[A-Za-z0-9._=-]{1,128}(?<!\.)", re.ASCII)
_OTHER = re.compile(r"[^a-z0-9._-]", re.ASCII)
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?=\.|$)", re.ASCII)  # reserved on Windows shares
_TENANT = "tenant=3A"  # as `segment_of` writes "tenant:"
_HEAD = 60  # of a long name's segment stays readable; "=h" and 64 digits of SHA-256 follow


def segment_of(name: str) -> str:
    """The key segment of an artifact's name. Raises ArtifactError for an empty one."""
    if not name:
        raise ArtifactError("an artifact's name is empty: expected text such as 'report.csv'")
    segment = _guard_ends(_OTHER.sub(lambda match: _escape(match[0]), name))
    return segment if len(segment) <= MAX_SEGMENT else _shortened(segment)


def split_key(key: str) -> list[str]:
    """The segments of a key, or of a prefix of one. Raises ArtifactError for anything that is not one."""
    segments = key.split("/")
    if len(segments) > MAX_SEGMENTS or not all(map(_SEGMENT.fullmatch, segments)):
        shown = key if len(key) <= 200 else f"{key[:200]}... ({len(key)} characters)"
        raise ArtifactError(
            f"artifact key {shown!r} is refused: expected at most {MAX_SEGMENTS} segments between '/', each of 1 to "
            f"{MAX_SEGMENT} characters A-Z a-z 0-9 . _ - = and no dot at either end"
        )
    return segments


def scope_of(run: str, execution: str, tenant: str) -> str:
    """In front of the name of everything that an execution stores."""
    return f"{scope_of_run(run, tenant)}/{execution}"


def scope_of_run(run: str, tenant: str) -> str:
    """In front of everything that a run stores."""
    return f"{segment_of(f'tenant:{tenant}')}/{run}" if tenant else run


def tenant_segment(key: str) -> str:
    """The segment of the tenant a key belongs to; empty where it belongs to none. No run's id holds a ``=``."""
    first = key.partition("/")[0]
    return first if first.startswith(_TENANT) else ""


def run_of(key: str) -> str:
    """The run that wrote it."""
    return _writer(key)[0]


def writer_of(key: str) -> str:
    """Who wrote it, for a message."""
    run, execution = _writer(key)
    return f"execution {execution} of run {run}" if execution else f"run {run}"


def _writer(key: str) -> tuple[str, str]:
    """Run and execution."""
    run, _, rest = key.removeprefix(f"{tenant_segment(key)}/").partition("/")
    return run, rest.partition("/")[0]


def _guard_ends(text: str) -> str:
    """Hidden files are the store's own, Windows drops a trailing dot, and CON is a device there."""
    if text[0] == "." or _DEVICE.match(text):
        text = _escape(text[0]) + text[1:]
    return text[:-1] + _escape(".") if text[-1] == "." else text


def _escape(char: str) -> str:
    return "".join(f"={byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))


def _shortened(segment: str) -> str:
    import hashlib

    return f"{segment[:_HEAD]}=h{hashlib.sha256(segment.encode('ascii')).hexdigest()}"
