from pathlib import Path

import pytest

from klassd.workflows.artifacts.file import FileArtifacts
from klassd.workflows.testing.artifacts import ArtifactStoreConformance


class TestFileArtifacts(ArtifactStoreConformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FileArtifacts:
        return FileArtifacts(tmp_path.as_uri())
