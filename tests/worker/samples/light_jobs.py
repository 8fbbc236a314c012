"""Imports nothing but what it must."""

import sys

from klassd.workflows.job import Job


class Modules(Job):
    def run(self, ctx) -> list[str]:  # type: ignore[no-untyped-def]
        print("a line")
        ctx.log("a record")
        return sorted(sys.modules)


class AwaitsNothing(Job):
    async def run(self, ctx) -> list[str]:  # type: ignore[no-untyped-def]
        return sorted(sys.modules)
