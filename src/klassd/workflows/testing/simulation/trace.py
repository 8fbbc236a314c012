"""What happened, an entry an event; its hash tells whether two simulations took the same course."""

from __future__ import annotations

import hashlib
from collections.abc import Callable


class Trace:
    """``time``: the simulation's own, since its beginning."""

    def __init__(self, time: Callable[[], float]) -> None:
        self._time = time
        self.entries: list[str] = []
        self._marks: dict[int, list[Callable[[], None]]] = {}
        self._watched: list[tuple[str, Callable[[str], None]]] = []

    def add(self, who: str, what: str) -> None:
        self.entries.append(f"{self._time():12.4f}  {who:<11} {what}")
        for call in self._marks.pop(len(self.entries), ()):
            call()
        for text, told in self._watched:
            if text in what:
                told(who)

    def watch(self, text: str, told: Callable[[str], None]) -> None:
        """Call with who did it, for every event that says so."""
        self._watched.append((text, told))

    def at(self, entries: int, call: Callable[[], None]) -> None:
        """Call when there are so many entries."""
        self._marks.setdefault(entries, []).append(call)

    def hash(self) -> str:
        return hashlib.sha256("\n".join(self.entries).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.entries)
