from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import catalog_flow
import msgspec
import pytest

from klassd.workflows.job import job_info
from klassd.workflows.model.workflow import definition_from
from klassd.workflows.workflow import job_definition

HERE = Path(__file__).parent
JOB = "catalog_flow:"


def test_the_workflow_of_the_product_page_builds_to_this_definition() -> None:
    golden = msgspec.json.decode((HERE / "catalog_flow.json").read_bytes())
    assert msgspec.json.decode(catalog_flow.build().definition("shop:app").encoded()) == golden


def test_a_definition_is_what_it_is_decoded_to() -> None:
    definition = catalog_flow.build().definition()
    assert definition_from(definition.encoded()).encoded() == definition.encoded()


@pytest.mark.parametrize(
    "code",
    [
        "catalog_flow.build().definition().hash()",
        "job_definition(job_info(catalog_flow.Notify)).hash()",
    ],
)
def test_the_hash_is_the_same_in_every_process(code: str) -> None:
    program = (
        "import catalog_flow\nfrom klassd.workflows.job import job_info\n"
        f"from klassd.workflows.workflow import job_definition\nprint({code})"
    )
    hashes = set()
    for seed in ("0", "1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(HERE)}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=60
        )
        hashes.add(done.stdout)
    assert len(hashes) == 1


def test_all_runs_of_a_job_share_one_definition() -> None:
    definition = job_definition(job_info(catalog_flow.Publish))
    (node,) = definition.nodes
    assert (definition.kind, definition.name) == ("job", f"{JOB}Publish")
    assert (node.name, node.job, node.source) == (f"{JOB}Publish", f"{JOB}Publish", f"{JOB}Publish")
    assert node.inputs == {"results": {"$param": "results"}, "note": {"$param": "note"}}
    assert node.optional == ("note",)
    assert definition.returns == {"$ref": f"{JOB}Publish", "path": []}
    assert definition.params["note"] == {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}


def test_a_jobs_definition_has_its_options_and_its_app() -> None:
    definition = job_definition(job_info(catalog_flow.Integration), "shop:app")
    assert definition.app == "shop:app"
    assert definition.nodes[0].options.timeout == 300.0
