"""Jobs for tests of artifacts, for workers to import."""

import os
import time
from typing import Any

from klassd.workflows import Artifact, Job, JobContext, Retry


class Names(Job):
    """Which credentials it sees."""

    def run(self, ctx: JobContext) -> list[str]:
        return sorted(name for name in os.environ if name.startswith(("AWS_", "GOOGLE_")))


class Save(Job):
    def run(self, ctx: JobContext) -> Artifact[bytes]:
        return ctx.artifacts.save("data", b"data")


class SaveImpatiently(Save, grace="500ms"):
    """Is killed soon after it was asked to stop."""


class SaveHalf(Job):
    """Is stopped in the middle of an upload."""

    def run(self, ctx: JobContext) -> None:
        with ctx.artifacts.writer("half") as file:
            for _ in range(24):
                file.write(bytes(1024 * 1024))
            ctx.log("half")
            time.sleep(60)


class Read(Job):
    artifact: Artifact[Any]

    def run(self, ctx: JobContext) -> str:
        return ctx.artifacts.read(self.artifact).decode()


class ReadStubbornly(Read, retry=Retry(3, backoff=0)):
    """Is tried again, unless that is in vain."""
