"""Where schedulers sit: each that dies is followed by another one."""

from __future__ import annotations

import asyncio
import signal
import subprocess

from proof.place import Place, end, ended, owner_of


class Seat:
    def __init__(self, place: Place) -> None:
        self._place = place
        self._process: subprocess.Popen[bytes] | None = None
        self.owner = ""  # empty while it does not serve
        self.stopped = False

    @property
    def serving(self) -> bool:
        return bool(self.owner) and not self.stopped

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    @property
    def died(self) -> bool:
        """Although nobody killed it."""
        return bool(self.owner) and self._process is not None and self._process.poll() is not None

    async def fill(self) -> None:
        process = self._process = self._place.scheduler()
        owner = await asyncio.to_thread(owner_of, process)
        if not owner:
            raise RuntimeError(f"a scheduler did not start: {self._place.log.read_text()[-2000:]}")
        self.owner = owner

    async def kill(self) -> str:
        """Whose runs are nobody's now."""
        owner, process = self._vacate()
        process.kill()
        await asyncio.to_thread(ended, process)
        return owner

    async def end(self) -> int:
        _, process = self._vacate()
        return await asyncio.to_thread(end, process, 60.0)

    async def stop(self, seconds: float) -> None:
        """As a machine that is frozen for a while."""
        assert self._process
        process, self.stopped = self._process, True
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        process.send_signal(signal.SIGCONT)
        self.stopped = False

    def _vacate(self) -> tuple[str, subprocess.Popen[bytes]]:
        assert self._process
        owner, self.owner = self.owner, ""
        return owner, self._process
