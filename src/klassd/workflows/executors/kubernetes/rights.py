"""What the executor asks of the API, and so what the scheduler's role must grant: no more, no less.

The one source of it: ``klassd manifest`` makes a Role of this table, the manual shows it, and a test holds it against the
requests that are really made.
"""

from __future__ import annotations

import re
from typing import Any

# (API group, resource) -> verbs
RIGHTS: dict[tuple[str, str], tuple[str, ...]] = {
    ("batch", "jobs"): ("create", "get", "list", "watch", "patch"),
    ("", "pods"): ("list", "watch", "delete"),
    ("", "pods/log"): ("get",),
    ("", "configmaps"): ("create",),
    ("", "secrets"): ("create",),  # that pods claim their start with; never read
    ("", "events"): ("list",),
}

_LACKING = re.compile(r'cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)"')


def rules() -> list[dict[str, Any]]:
    """Of a Role."""
    return [
        {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)} for (group, resource), verbs in RIGHTS.items()
    ]


def lacking(message: str) -> str | None:
    """``list jobs``: the right that the API server misses, by its message; None when it refuses for another reason."""
    found = _LACKING.search(message)
    return f"{found['verb']} {found['resource']}" if found else None
