"""Times as the objects of the API have them: whole seconds."""

from __future__ import annotations

import calendar
import time

FORM = "%Y-%m-%dT%H:%M:%SZ"


def seconds(timestamp: str) -> float:
    return float(calendar.timegm(time.strptime(timestamp, FORM)))
