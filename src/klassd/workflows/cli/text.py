"""Text that jobs wrote, made safe to show.

A job may print anything. On a terminal its colours are welcome; a sequence that moves the cursor, renames the window or
writes the clipboard is not. Whatever is left out is shown, escaped: nothing disappears silently.
"""

from __future__ import annotations

import re

_SGR = re.compile(r"\x1b\[[0-9;:]*m")
# C0 but tab, DEL and C1, line and paragraph separators, and the marks that reorder text (CVE-2021-42574)
_HARMFUL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
RESET = "\x1b[0m"


def harmless(text: str, colours: bool) -> str:
    """One line as a terminal may be given it. With ``colours`` SGR sequences pass and are closed at the end of the line;
    without they are dropped. Every other control character is escaped, as ``\\x1b``."""
    text = last_overwrite(text)
    if not _HARMFUL.search(text):
        return text
    if not colours:
        return _escape(_SGR.sub("", text))
    plain, codes = _SGR.split(text), _SGR.findall(text)
    woven = "".join(_escape(part) + code for part, code in zip(plain, [*codes, ""], strict=True))
    return woven + RESET if codes else woven


def last_overwrite(text: str) -> str:
    """What a line drawn over and over with carriage returns looks like in the end."""
    if "\r" not in text:
        return text
    return next((part for part in reversed(text.split("\r")) if part), "")


def _escape(text: str) -> str:
    return _HARMFUL.sub(lambda found: _visible(ord(found[0])), text)


def _visible(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def shorten(text: str, width: int) -> str:
    """At most ``width`` characters, an ellipsis where it was cut."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def hanging(label: str, text: str, width: int, rows: int = 100) -> list[str]:
    """Text as a paragraph behind its label, at most so many lines."""
    from textwrap import wrap

    plain = harmless(" ".join(text.split()), colours=False)
    lines = wrap(plain, max(30, width - len(label)), max_lines=rows, placeholder=" …") or [""]
    return [f"{label if number == 0 else ' ' * len(label)}{line}" for number, line in enumerate(lines)]


def without_password(url: str) -> str:
    """A store's URL as it may be shown."""
    return re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", url)
