"""Where an execution is and how far it came: heard at any time, stored with whatever is stored next, so it costs no write."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from klassd.workflows.model.execution import Located, Reached, Started, Told
from klassd.workflows.model.phases import Phases


class Course:
    """``located`` and ``phases``: what is stored already."""

    def __init__(self, located: dict[str, str | int] | None = None, phases: Phases | None = None) -> None:
        self._located, self._phases = located or {}, phases or Phases()
        self._news: dict[str, Any] = {}

    def hear(self, batch: Iterable[Told]) -> None:
        for told in batch:
            if isinstance(told, Reached):
                self._phases = self._take("phases", self._phases, told.phases.over(self._phases))
            elif isinstance(told, Located):
                self._located = self._take("located", self._located, told.at)
            elif isinstance(told, Started) and told.pid is not None and not self._located:  # the pid within a pod says nothing
                self._located = self._take("located", self._located, {"pid": told.pid})

    def _take(self, field: str, before: Any, after: Any) -> Any:
        if after != before:
            self._news[field] = after
        return after

    def news(self) -> dict[str, Any]:
        """The fields of the row that are to be stored, each once."""
        news, self._news = self._news, {}
        return news
