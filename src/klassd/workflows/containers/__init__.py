"""Any image as a job: ``Container`` is how people write it, ``order.ContainerSpec`` what a run keeps of it."""

from __future__ import annotations

from klassd.workflows.containers.container import Container, FileOutput

__all__ = ["Container", "FileOutput"]
