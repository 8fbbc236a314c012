import os
from collections.abc import Iterator

import pytest
from services import Service

from klassd.workflows.artifacts import ArtifactStore
from klassd.workflows.artifacts.scope import store_for
from klassd.workflows.testing.artifacts import ArtifactStoreConformance


class TestRemoteArtifacts(ArtifactStoreConformance):
    @pytest.fixture
    def store(self, service: Service) -> ArtifactStore:
        return store_for(service.url)


class TestGivenServer(ArtifactStoreConformance):
    """The same on a server of your own: KLASSD_TEST_S3_URL, KLASSD_TEST_GCS_URL, with credentials as the platform has them."""

    @pytest.fixture(params=["KLASSD_TEST_S3_URL", "KLASSD_TEST_GCS_URL"])
    def store(self, request: pytest.FixtureRequest) -> Iterator[ArtifactStore]:
        url = os.environ.get(request.param)
        if not url:
            pytest.skip(f"{request.param} is not set; the local servers have shown the same")
        yield store_for(url)
