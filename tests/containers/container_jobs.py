"""A job that uses a service, in a process of its own."""

from __future__ import annotations

from urllib.request import urlopen

from klassd.workflows import Job, JobContext


class Fetch(Job):
    at: str

    def run(self, ctx: JobContext) -> str:
        with urlopen(f"http://{self.at}/") as answer:
            return str(answer.read().decode())
