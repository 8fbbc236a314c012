"""Mistakes of the person at the keyboard: told in a sentence, never with a traceback."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

OK, FAILED, USAGE, INTERRUPTED, PIPE_CLOSED = 0, 1, 2, 130, 141


class Problem(Exception):
    """Ends the command: ``message`` says what was found, ``hints`` (a line each) what was expected and what to do."""

    def __init__(self, message: str, *hints: str, code: int = USAGE) -> None:
        super().__init__(message)
        self.message = message
        self.hints = tuple(hint for hint in hints if hint)
        self.code = code


def near(word: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The known words that ``word`` may be a typo of, the likeliest first. Case does not matter."""
    import difflib  # 3 ms: only the mistaken pay for it

    folded: dict[str, str] = {}
    for name in known:
        folded.setdefault(name.lower(), name)
    return [folded[hit] for hit in difflib.get_close_matches(word.lower(), folded, n=count, cutoff=0.6)]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint line, or "" when nothing is near."""
    found = near(word, known)
    return f"did you mean {' or '.join(found)}?" if found else ""


def listed(names: Sequence[str], most: int = 12) -> str:
    """Names in a sentence; a long list is cut and says so."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"
