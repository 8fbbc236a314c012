"""The large sample, in pods, with its dataset in an S3 server that knows one secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from cluster_runs import Runs
from services import moto

from examples import catalog_integration

# The pods get the store's credentials from a Secret; the scheduler, which tries the store out at its start, from its variables.
SETTINGS = """
[kubernetes.pod.env]
SSL_CERT_FILE = "/app/authorities.pem"
AWS_ACCESS_KEY_ID = {type = "secret", name = "object-store", key = "id"}
AWS_SECRET_ACCESS_KEY = {type = "secret", name = "object-store", key = "secret"}
"""


@pytest.mark.fault("I15")
def test_the_catalog_sample_runs_in_pods_with_its_artifact_in_s3(runs: Runs, tmp_path: Path) -> None:
    with moto(tmp_path, runs.cluster.here) as s3:
        secret = s3.env["AWS_SECRET_ACCESS_KEY"]
        keys = {"id": s3.env["AWS_ACCESS_KEY_ID"], "secret": secret}
        runs.cluster.create("/api/v1/namespaces/{}/secrets", {"metadata": {"name": "object-store"}, "stringData": keys})
        (tmp_path / "klassd.toml").write_text(SETTINGS)
        runs.start("examples.catalog_integration:app", KLASSD_ARTIFACTS=s3.url, **s3.env)

        view = runs.finished(runs.enqueue(catalog_integration.wf))

        nodes = {node.name: node for node in view.nodes}
        executions = [execution for node in view.nodes for execution in node.executions]
        assert view.run.status == "succeeded", view.run.error
        assert view.run.output["markets"] == 3
        assert nodes["publish"].attempts == 2
        assert nodes["rollback"].status == "omitted" and nodes["newsletter"].status == "failed"
        assert all(len(runs.cluster.pods(execution.id)) == 1 for execution in executions)
        assert f"some/where/{nodes['data-proxy'].output['dataset']['key']}" in s3.names()
        pods = [runs.cluster.pods(execution.id) for execution in executions]
        assert secret not in str(pods)
