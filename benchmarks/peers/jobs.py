"""The job that is measured, as a function: what every peer runs."""

from __future__ import annotations

import os
import time


def trivial(number: int) -> int:
    return os.getpid()


def clock() -> float:
    return time.monotonic()
