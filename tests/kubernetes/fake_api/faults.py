"""What the API server does wrong on command."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fake_api.http import Cut, Request
from fake_api.refused import Refused


@dataclass
class Rule:
    """Meets the next ``times`` requests of that method whose path has ``path`` in it, a regular expression."""

    method: str
    path: str
    status: int | None = None  # answered instead of the truth; None with ``cut``: no answer at all
    message: str = "it was told to"
    reason: str = ""
    retry_after: int | None = None
    cut: bool = False
    late: bool = False  # it takes effect, and then is answered so
    wait: float = 0.0  # seconds before anything happens
    times: int | None = 1
    met: int = 0

    def meets(self, request: Request) -> bool:
        spent = self.times is not None and self.met >= self.times
        return not spent and request.method == self.method and re.search(self.path, request.path) is not None

    def strike(self) -> None:
        if self.cut:
            raise Cut
        if self.status is not None:
            raise Refused(self.status, self.message, self.reason, self.retry_after)


@dataclass
class Faults:
    rules: list[Rule] = field(default_factory=list)
    mutate: Callable[[str, dict[str, Any]], None] | None = None  # an admission hook: of each object that is created
    token: str | None = None  # the only one that is accepted
    bookmarks: float = 10.0  # seconds between two bookmarks of a watch
    distort: Callable[[list[bytes]], list[bytes]] | None = None  # what becomes of the lines of a watch
    mute: bool = False  # watches say nothing any more, and do not end

    def admit(self, request: Request) -> None:
        if self.token is not None and request.headers.get("authorization") != f"Bearer {self.token}":
            raise Refused(401, "Unauthorized")

    async def before(self, request: Request) -> Rule | None:
        """The rule that strikes once the request has taken effect."""
        rule = next((rule for rule in self.rules if rule.meets(request)), None)
        if rule is None:
            return None
        rule.met += 1
        await asyncio.sleep(rule.wait)
        if rule.late:
            return rule
        rule.strike()
        return None
