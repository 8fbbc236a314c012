"""The same worker in a pod: the order in its environment, frames on standard output."""

from __future__ import annotations

import signal
import subprocess
import sys
import zlib
from pathlib import Path

import msgspec
import pytest
from worker_help import PATIENCE, Said, environment, order, until

from klassd.workflows.order import Order


def pod(wanted: Order | bytes, **env: str) -> tuple[Said, int, str]:
    given = wanted if isinstance(wanted, bytes) else msgspec.json.encode(wanted)
    process = subprocess.run(
        [sys.executable, "-m", "klassd.workflows.worker", "run"],
        env=environment(KLASSD_ORDER=given.decode(), **env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    return Said(process.stdout), process.returncode, process.stderr.decode()


def test_the_whole_story_is_on_standard_output() -> None:
    said, code, error = pod(order("HalfALine"))
    assert (code, error, said.plain) == (0, "", [])
    assert said.values == {"": "done", "size": 3}
    assert said.kinds[:2] == ["hello", "start"]


def test_the_order_is_not_in_the_jobs_environment() -> None:
    assert "KLASSD_ORDER" not in pod(order("Process"))[0].value["env"]


def test_the_outcome_is_the_termination_message_too(tmp_path: Path) -> None:
    message = tmp_path / "termination-log"
    message.write_bytes(b"")
    said, code, _ = pod(order("Fails"), KLASSD_TERMINATION_LOG=str(message))
    assert code == 1 and message.read_bytes() == said.frames[-1].body and len(message.read_bytes()) <= 3072
    assert sorted(path.name for path in tmp_path.iterdir()) == ["termination-log"]


def test_a_termination_message_that_cannot_be_written_changes_nothing() -> None:
    said, code, _ = pod(order("Add", inputs={"a": 1}), KLASSD_TERMINATION_LOG="/no/such/place")
    assert code == 0 and said.value == 2


def pod_of(path: Path) -> tuple[Said, int, str]:
    process = subprocess.run(
        [sys.executable, "-m", "klassd.workflows.worker", "run"],
        env=environment(KLASSD_ORDER_FILE=str(path)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    return Said(process.stdout), process.returncode, process.stderr.decode()


def test_an_order_too_large_for_a_variable_comes_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "order.z"
    path.write_bytes(zlib.compress(order("Add", inputs={"a": 1}, config={"much": "x" * 200_000}).encoded()))
    said, code, error = pod_of(path)
    assert (said.value, code, error) == (2, 0, "")
    path.write_bytes(zlib.compress(order("Process").encoded()))
    assert "KLASSD_ORDER_FILE" not in pod_of(path)[0].value["env"]


@pytest.mark.parametrize("content", [None, b"", b"{}", zlib.compress(b"{}")])
def test_an_order_file_that_is_none_ends_with_a_sentence_and_code_two(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "order.z"
    if content is not None:
        path.write_bytes(content)
    said, code, error = pod_of(path)
    assert code == 2 and said.frames == [] and "order" in error and "Traceback" not in error


@pytest.mark.parametrize("text", [b"", b"no json", b'{"execution_id": 5}', b"[]"])
def test_an_order_that_cannot_be_read_ends_with_a_sentence_and_code_two(text: bytes) -> None:
    said, code, error = pod(text)
    assert code == 2 and said.frames == [] and "order" in error and "Traceback" not in error


def test_a_pod_that_is_asked_to_end_asks_its_job() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "klassd.workflows.worker", "run"],
        env=environment(KLASSD_ORDER=msgspec.json.encode(order("Stops")).decode()),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    data = b""

    def is_ready() -> bool:
        nonlocal data
        data += process.stdout.read1()  # type: ignore[union-attr]
        return "ready" in Said(data).kinds

    until(is_ready, "the job to be ready")
    process.send_signal(signal.SIGTERM)
    data += process.communicate(timeout=PATIENCE)[0]
    assert Said(data).end.requested == "stop" and process.returncode == 1


@pytest.mark.parametrize(
    "arguments", [[], ["walk"], ["run", "--spool"], ["template", "--module", "x"], ["run", "--other", "x"]]
)
def test_wrong_arguments_are_answered_with_the_usage(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "klassd.workflows.worker", *arguments]
    process = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert process.returncode == 2 and process.stderr.startswith("usage:")


def test_a_spool_that_is_not_there_ends_with_a_sentence_and_code_two() -> None:
    process = subprocess.run(
        [sys.executable, "-m", "klassd.workflows.worker", "run", "--spool", "/no/such/place"],
        env=environment(),
        input=msgspec.json.encode(order("Add", inputs={"a": 1})),
        capture_output=True,
        check=False,
    )
    error = process.stderr.decode()
    assert process.returncode == 2 and "/no/such/place" in error and "Traceback" not in error
