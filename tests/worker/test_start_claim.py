"""A worker in a pod asks for its start before it runs anything: what it does with each answer, and without one."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from claim_server import GRANTED, Scripted, answer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from test_startup import LIBRARY, OURS, bare
from worker_help import PATIENCE, Said, environment, order

from klassd.workflows.composition import make_server
from klassd.workflows.model.run import Change, Execution, Run, hash_token
from klassd.workflows.model.states import ExecutionStatus
from klassd.workflows.order import End, Order
from klassd.workflows.ports import NewRun
from klassd.workflows.stores.memory import MemoryStore

TOKEN = "ab" * 32


class Left(NamedTuple):
    """What a pod leaves."""

    said: Said
    code: int
    error: str
    end: End | None


class Pod:
    def __init__(self, path: Path) -> None:
        self.token, self._message = path / "token", path / "message"
        self.token.write_text(TOKEN)
        self._message.write_bytes(b"")

    def start(self, url: str, wanted: Order, name: str = "pod-1", **env: str) -> subprocess.Popen[bytes]:
        said = {
            "KLASSD_ORDER": msgspec.json.encode(wanted).decode(),
            "KLASSD_CLAIM_URL": url,
            "KLASSD_CLAIM_TOKEN_FILE": str(self.token),
            "KLASSD_POD_NAME": name,
            "KLASSD_POD_UID": f"uid-of-{name}",
            "KLASSD_TERMINATION_LOG": str(self._message),
        }
        return subprocess.Popen(
            [sys.executable, "-m", "klassd.workflows.worker", "run"],
            env=environment(**said, **env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def left(self, process: subprocess.Popen[bytes]) -> Left:
        out, error = process.communicate(timeout=PATIENCE)
        message = self._message.read_bytes()
        end = msgspec.json.decode(message, type=End) if message else None
        return Left(Said(out), process.returncode, error.decode(), end)

    def run(self, url: str, wanted: Order, **env: str) -> Left:
        return self.left(self.start(url, wanted, **env))


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    return Pod(tmp_path)


def refused(left: Left, cause: str, kind: str, words: str) -> None:
    """Nothing was run, and no frame says otherwise."""
    assert left.code == 3 and left.said.frames == [] and left.end is not None and left.end.error is not None
    assert (left.end.cause, left.end.error.type) == (cause, kind) and words in left.end.error.message
    assert left.end.error.message in left.error and "Traceback" not in left.error and TOKEN not in left.error


def test_a_granted_start_runs_and_says_who_asked(pod: Pod) -> None:
    with Scripted([GRANTED]) as server:
        left = pod.run(server.url(), order("Add", inputs={"a": 1}))
    assert (left.code, left.error, left.said.value) == (0, "", 2)
    (request,), (body,) = server.requests, server.bodies
    assert request.startswith(b"POST /api/v1/executions/exec-1/start HTTP/1.1\r\n")
    assert f"Authorization: Bearer {TOKEN}\r\n".encode() in request
    assert (body["pod"], body["uid"], len(body["process"])) == ("pod-1", "uid-of-pod-1", 32)


def test_nothing_of_the_claim_is_in_the_jobs_environment(pod: Pod) -> None:
    with Scripted([GRANTED]) as server:
        env = pod.run(server.url(), order("Process")).said.value["env"]
    assert not [name for name in env if name.startswith(("KLASSD_CLAIM", "KLASSD_POD"))]


@pytest.mark.fault("E23")
def test_a_pod_whose_start_another_has_ends_without_a_frame(pod: Pod) -> None:
    with Scripted([answer(409)]) as server:
        refused(pod.run(server.url(), order("Add")), "lost", "SecondPod", "started by another pod")


@pytest.mark.parametrize(
    ("status", "cause", "kind", "words"),
    [
        (410, "lost", "TooLate", "has ended, or is to"),
        (401, "launch", "ClaimRefused", "answers 401: it takes no token of ours"),
        (403, "launch", "ClaimRefused", "answers 403: it does not know this execution or its token"),
        (404, "launch", "ClaimRefused", "answers 404: there is no such route"),
        (302, "launch", "ClaimRefused", "answers 302: it is no scheduler of ours"),
        (400, "launch", "ClaimRefused", "answers 400"),
    ],
)
def test_an_answer_that_will_not_change_ends_it_with_its_meaning(
    pod: Pod, status: int, cause: str, kind: str, words: str
) -> None:
    with Scripted([answer(status)]) as server:
        refused(pod.run(server.url(), order("Add")), cause, kind, words)
        assert len(server.requests) == 1


def test_without_an_answer_it_asks_again_as_the_same_process(pod: Pod) -> None:
    with Scripted([b"", b"HTTP/1.1 ", b"SSH-2.0-no\n", answer(503), answer(429), GRANTED]) as server:
        left = pod.run(server.url(), order("Add", inputs={"a": 1}))
        assert (left.code, left.said.value, len(server.requests)) == (0, 2, 6)
        assert len(set(server.requests)) == 1


def test_it_gives_up_at_its_start_deadline_and_says_why(pod: Pod) -> None:
    with Scripted([answer(503)]) as server:
        left = pod.run(server.url(), order("Add", start_deadline=0.2))
        refused(left, "start_deadline", "NoScheduler", "within 0.2 s: it answers 503")
    left = pod.run(server.url(), order("Add", start_deadline=0.1))  # nobody listens there any more
    refused(left, "start_deadline", "NoScheduler", "refused")


def test_an_answer_that_does_not_come_is_not_waited_for_longer_than_told(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    from klassd.workflows.worker import start_claim

    monkeypatch.setattr(start_claim, "ANSWER", 0.05)
    with Scripted([None]) as server, pytest.raises(TimeoutError):
        start_claim._ask(start_claim._place(server.url()), b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n")


def test_one_that_is_asked_to_end_while_it_waits_ends_at_once(pod: Pod) -> None:
    with Scripted([None]) as server:
        process = pod.start(server.url(), order("Add"))
        assert server.asked.wait(PATIENCE)
        process.send_signal(signal.SIGTERM)
        left = pod.left(process)
    assert left.code == 3 and left.said.frames == [] and left.end is not None
    assert (left.end.result, left.end.requested) == ("none", "stop")


def test_a_token_that_cannot_be_read_is_told(pod: Pod) -> None:
    pod.token.unlink()
    with Scripted([GRANTED]) as server:
        refused(pod.run(server.url(), order("Add")), "launch", "ClaimRefused", "cannot be read")


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://klassd.jobs.svc:8700/x", (False, "klassd.jobs.svc", 8700, "/x")),
        ("https://klassd.example.com/a/b", (True, "klassd.example.com", 443, "/a/b")),
        ("http://[fd00::1]:8700/x", (False, "fd00::1", 8700, "/x")),
        ("http://[fd00::1]/x", (False, "fd00::1", 80, "/x")),
    ],
)
def test_a_url_is_read_by_hand(url: str, place: tuple[bool, str, int, str]) -> None:
    from klassd.workflows.worker.start_claim import _place

    assert _place(url) == place


def test_a_claim_brings_one_module_of_ours_and_none_that_is_dear(pod: Pod) -> None:
    with Scripted([GRANTED]) as server:
        modules = set(pod.run(server.url(), order("Modules", module="light_jobs")).said.value)
    ours = {"klassd", "klassd.workflows", "light_jobs", *(f"klassd.workflows.{name}" for name in OURS.split())}
    assert modules - bare() - ours - set(LIBRARY.split()) == {"klassd.workflows.worker.start_claim"}


# -- over TLS ---------------------------------------------------------------------------------------------------------


def certificate(path: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """One that vouches for itself, and a server's context with it."""
    key, subject = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = path / "public.pem", path / "private.pem"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return public, context


def test_https_is_spoken_with_whom_the_machine_trusts_and_with_nobody_else(pod: Pod, tmp_path: Path) -> None:
    trusted, context = certificate(tmp_path, "localhost")
    with Scripted([GRANTED], context) as server:
        url = server.url("https", "localhost")
        assert pod.run(url, order("Add", inputs={"a": 1}), SSL_CERT_FILE=str(trusted)).said.value == 2
        left = pod.run(url, order("Add", start_deadline=0.1), SSL_CERT_FILE=os.devnull)
        refused(left, "start_deadline", "NoScheduler", "certificate verify failed")
        assert len(server.requests) == 1


# -- with the real other end ------------------------------------------------------------------------------------------


async def with_store(wanted: Order) -> MemoryStore:
    store = MemoryStore()
    run = Run(id="r" * 20, name="n", kind="job", definition="d")
    await store.enqueue([NewRun(run=run, definition=b"{}")])
    await store.renew("one", 60.0)
    await store.claim_runs("one", 1, 1e12)
    row = Execution(
        id=wanted.execution_id, run_id=run.id, node="n", status=ExecutionStatus.STARTING, token_hashes=(hash_token(TOKEN),)
    )
    await store.commit([Change(run_id=run.id, epoch=1, started=(row,))])
    return store


@pytest.mark.fault("E23")
def test_of_two_pods_of_one_execution_one_runs_it(pod: Pod) -> None:
    wanted = order("Add", inputs={"a": 1}, execution_id=f"{'r' * 20}-0-0-1")

    async def main() -> list[Left]:
        store = await with_store(wanted)
        server, _ = make_server(store, "127.0.0.1", 0)
        async with server:
            url = f"{server.url}/api/v1/executions/{wanted.execution_id}/start"
            processes = [pod.start(url, wanted, name) for name in ("pod-1", "pod-2")]
            left = [await asyncio.to_thread(pod.left, process) for process in processes]
        row = await store.get_execution(wanted.execution_id)
        assert row is not None and row.started_by is not None
        winner = next(name for name, each in zip(("pod-1", "pod-2"), left, strict=True) if each.code == 0)
        assert row.started_by.startswith(f"{winner}/uid-of-{winner}/")
        return left

    one, other = sorted(asyncio.run(main()), key=lambda each: each.code)
    assert (one.said.value, other.code, other.said.frames) == (2, 3, [])
    assert "is started by another pod" in other.error
