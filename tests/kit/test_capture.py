"""Jobs of many tests share the streams of one process, and a test runner gives each test streams of its own."""

from __future__ import annotations

import io
import sys

import pytest

from klassd.workflows.testing import capture
from klassd.workflows.testing.recording import Recording


def printed(recording: Recording, text: str) -> None:
    token = capture.speaking.set(recording)
    print(text)
    capture.speaking.reset(token)


def test_what_is_printed_is_heard_through_streams_set_while_an_earlier_capture_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = io.StringIO(), io.StringIO()
    recording = Recording()
    monkeypatch.setattr(capture, "_capture", capture._Capture())  # an executor of an earlier test may hold the shared one open
    monkeypatch.setattr(sys, "stdout", first)
    left_open = capture.captured()
    left_open.__enter__()
    try:
        monkeypatch.setattr(sys, "stdout", second)
        with capture.captured():
            printed(recording, "through the second")
    finally:
        left_open.__exit__(None, None, None)
    assert [line.text for line in recording.read_console()] == ["through the second"]
    assert (first.getvalue(), second.getvalue()) == ("", "through the second\n")
    assert sys.stdout is second
