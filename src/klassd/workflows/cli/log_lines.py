"""The log of a process that nobody watches: a line for each record, as text or as JSON, on standard output."""

from __future__ import annotations

import json
import logging
import sys

from klassd.workflows.cli.style import iso
from klassd.workflows.cli.text import harmless

FACTS = ("run", "status")  # what our own records say besides their message


def log_to_stdout(as_json: bool) -> None:
    """Our own records from INFO on, those of others from WARNING on."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLine() if as_json else PlainLine())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("klassd").setLevel(logging.INFO)


class PlainLine(logging.Formatter):
    """What is behind the first line is a traceback; nothing in the message can make a line of its own."""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{iso(record.created)} {record.levelname:<7} {harmless(record.getMessage(), colours=False)}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        said = {
            "time": iso(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{name: getattr(record, name) for name in FACTS if hasattr(record, name)},
        }
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        return json.dumps(said)
