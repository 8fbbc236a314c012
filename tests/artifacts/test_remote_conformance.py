import os

import pytest
from conftest import STARTS, Services, use

from klassd.workflows.artifacts import ArtifactStore
from klassd.workflows.artifacts.scope import store_for
from klassd.workflows.testing.artifacts import ArtifactStoreConformance

# Servers of your own, with credentials as the platform has them.
GIVEN = [name for name in ("KLASSD_TEST_S3_URL", "KLASSD_TEST_GCS_URL") if os.environ.get(name)]


class TestRemoteArtifacts(ArtifactStoreConformance):
    @pytest.fixture(params=[*sorted(STARTS), *GIVEN])
    def store(self, request: pytest.FixtureRequest, services: Services, monkeypatch: pytest.MonkeyPatch) -> ArtifactStore:
        if request.param in STARTS:
            return store_for(use(services.get(request.param), monkeypatch).url)
        return store_for(os.environ[request.param])
