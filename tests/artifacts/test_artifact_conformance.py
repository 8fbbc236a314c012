from pathlib import Path

import pytest

from klassd.workflows.artifacts.file import FileArtifacts
from klassd.workflows.testing.artifacts import ArtifactStoreConformance
from klassd.workflows.testing.memory import MemoryArtifacts


class TestFileArtifacts(ArtifactStoreConformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FileArtifacts:
        return FileArtifacts(tmp_path.as_uri())


class TestMemoryArtifacts(ArtifactStoreConformance):
    @pytest.fixture
    def store(self) -> MemoryArtifacts:
        return MemoryArtifacts()
