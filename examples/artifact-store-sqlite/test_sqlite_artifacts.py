from pathlib import Path

import pytest

from klassd.workflows.artifacts import ArtifactStore
from klassd.workflows.artifacts.scope import store_for
from klassd.workflows.testing import ArtifactStoreConformance


class TestSqliteArtifacts(ArtifactStoreConformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> ArtifactStore:
        return store_for(f"sqlite:///{tmp_path}/artifacts.db")  # by its entry point, as a worker finds it
