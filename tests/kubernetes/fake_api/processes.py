"""Containers as processes of this machine: the worker as it is, without a file system or a memory of its own.

What a pod mounts stands in a directory of its own, and the paths in its variables lead there.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fake_api.containers import Container, Ended

MODULES = Path(__file__).parents[1]  # the jobs of the tests
UNITS = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
WATCHED = 256 * 2**20  # bytes; a limit below is watched over
GLANCE = 0.05  # seconds between two looks at the memory of a container


async def process(container: Container) -> Ended:
    with tempfile.TemporaryDirectory(prefix="klassd-fake-") as place:
        return await _Process(container, Path(place)).run()


class _Process:
    def __init__(self, container: Container, place: Path) -> None:
        self._container, self._place = container, place
        self._message = place / "termination-log"
        self._message.touch()

    async def run(self) -> Ended:
        command = [sys.executable if word in ("python", "python3") else word for word in self._command]
        try:
            process = await asyncio.create_subprocess_exec(
                *command, env=self._env(), cwd=self._place, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            return Ended(128, "StartError", str(error))
        helpers = [asyncio.ensure_future(each) for each in (self._obey(process), self._watch_memory(process))]
        try:
            assert process.stdout
            while data := await process.stdout.read(65536):
                self._container.console.write(data)
            code = await process.wait()
        finally:
            for each in helpers:
                each.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            _kill_all(process.pid)
            if process.returncode is None:
                await process.wait()
        return self._ended(code)

    @property
    def _command(self) -> list[str]:
        return [*self._container.spec.get("command", ()), *self._container.spec.get("args", ())]

    def _env(self) -> dict[str, str]:
        """A container's own, and paths into it as they are here."""
        spec, env = self._container.spec, self._container.env
        paths = {spec.get("terminationMessagePath", "/dev/termination-log"): str(self._message)}
        for mount in spec.get("volumeMounts") or ():
            if found := self._volume(mount["name"]):
                paths[mount["mountPath"]] = found
        for name, value in env.items():
            for inside, here in paths.items():
                if value == inside or value.startswith(f"{inside}/"):
                    env[name] = here + value[len(inside) :]
        own = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        return (
            own
            | {"PYTHONPATH": str(MODULES), "PYTHONUNBUFFERED": "1", "HOSTNAME": self._container.pod["metadata"]["name"]}
            | env
        )

    def _volume(self, name: str) -> str:
        pod = self._container.pod
        volume = next(each for each in pod["spec"].get("volumes", ()) if each["name"] == name)
        if "configMap" not in volume:
            return ""
        made = self._place / name
        made.mkdir(exist_ok=True)
        source = self._container.storage.get("configmaps", pod["metadata"]["namespace"], volume["configMap"]["name"])
        for file, data in (source.get("binaryData") or {}).items():
            (made / file).write_bytes(base64.b64decode(data))
        return str(made)

    async def _obey(self, process: asyncio.subprocess.Process) -> None:
        await self._container.stopping.wait()
        if not self._container.killed.is_set():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        await self._container.killed.wait()
        _kill_all(process.pid)

    async def _watch_memory(self, process: asyncio.subprocess.Process) -> None:
        limit = _bytes(str(((self._container.spec.get("resources") or {}).get("limits") or {}).get("memory", "")))
        if not limit or limit >= WATCHED:
            return
        while True:
            sizes = {pid: _resident(pid) for pid in _family(process.pid)}
            if sum(sizes.values()) > limit:
                self._container.exhausted.set()
                if self._container.whole:
                    _kill_all(process.pid)
                else:
                    with suppress(ProcessLookupError):
                        os.kill(max(sizes, key=lambda pid: sizes[pid]), signal.SIGKILL)
                return
            await asyncio.sleep(GLANCE)

    def _ended(self, code: int) -> Ended:
        message = self._message.read_bytes().decode(errors="replace")
        reason = "OOMKilled" if self._container.exhausted.is_set() else ""
        return Ended(128 - code if code < 0 else code, reason, message)


def _family(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield from _family(int(child))


def _kill_all(pid: int) -> None:
    """The container's processes: its group, and children that made one of their own."""
    for each in [*_family(pid)]:
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


def _resident(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _bytes(amount: str) -> int:
    found = re.fullmatch(r"(\d+)([KMG]i|)", amount)
    return int(found[1]) * UNITS[found[2]] if found else 0
