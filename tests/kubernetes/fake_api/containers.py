"""What a container is to whoever runs it: its specification, its console, and the wishes to end it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fake_api.console import Console
from fake_api.storage import Item, Storage

MESSAGE = 4096  # bytes kept of a termination message


@dataclass
class Ended:
    code: int = 0
    reason: str = ""
    message: str = ""

    def said(self, started: str | None, finished: str) -> dict[str, Any]:
        """``started``: None where nobody knows."""
        reason = self.reason or ("Error" if self.code else "Completed")
        times = {"startedAt": started, "finishedAt": finished if started else None}
        found = {"exitCode": self.code, "reason": reason, **times}
        kept = self.message.encode()[:MESSAGE].decode(errors="ignore")
        return {**found, "message": kept} if kept else found


class Container:
    def __init__(self, spec: Mapping[str, Any], pod: Item, console: Console, storage: Storage) -> None:
        self.spec, self.pod, self.console, self.storage = spec, pod, console, storage
        self.stopping = asyncio.Event()  # SIGTERM
        self.killed = asyncio.Event()  # SIGKILL
        self.whole = True  # all of it dies where memory runs out
        self.exhausted = asyncio.Event()  # memory has run out

    def stop(self) -> None:
        self.stopping.set()

    def kill(self) -> None:
        self.stopping.set()
        self.killed.set()

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def env(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for each in self.spec.get("env") or ():
            found[each["name"]] = _expanded(str(each.get("value", "")), found)
        return found


def _expanded(text: str, known: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return known.get(match[1], match[0])

    return re.sub(r"\$\$|\$\(([^)]+)\)", value, text)


Runtime = Callable[[Container], Awaitable[Ended]]
