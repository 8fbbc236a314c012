import pytest

from klassd.workflows.executors.local import LocalExecutor
from klassd.workflows.testing.executors import ExecutorConformance


class TestForked(ExecutorConformance):
    start = "fork"

    @pytest.fixture(autouse=True)
    def _state(self, tmp_path):
        self.state = str(tmp_path / "state")

    def executor(self):
        return LocalExecutor(self.state, start=self.start)


class TestSpawned(TestForked):
    start = "spawn"
