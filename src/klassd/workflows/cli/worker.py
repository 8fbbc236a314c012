"""``klassd worker``: hands over to ``python -m klassd.workflows.worker``, in this very process.

A new program image instead of a call: the worker must not carry what the command line has imported.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from typing import NoReturn


def command(args: Namespace) -> NoReturn:
    os.execv(sys.executable, [sys.executable, "-m", "klassd.workflows.worker", *args.arguments])  # noqa: S606
