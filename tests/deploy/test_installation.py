"""What a cluster is given to have a scheduler."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from lightkube.models.apps_v1 import Deployment
from lightkube.models.core_v1 import ConfigMap, Namespace, PersistentVolumeClaim, Service, ServiceAccount
from lightkube.models.networking_v1 import NetworkPolicy
from lightkube.models.policy_v1 import PodDisruptionBudget
from lightkube.models.rbac_v1 import Role, RoleBinding

from klassd.workflows.deploy.installation import PORT, Installation
from klassd.workflows.deploy.manifest import manifest
from klassd.workflows.deploy.writing import kustomization, stream
from klassd.workflows.errors import ConfigurationError
from klassd.workflows.executors.kubernetes import names
from klassd.workflows.executors.kubernetes.manifest import render
from klassd.workflows.executors.kubernetes.settings import KubernetesSettings, from_settings
from klassd.workflows.order import Order
from klassd.workflows.pods import Pod
from klassd.workflows.settings import load
from tests.pods.pod_security_standard import violations

HERE = Path(__file__).parent
MODELS: dict[str, Any] = {
    model.__name__: model
    for model in (
        Namespace, ServiceAccount, Role, RoleBinding, NetworkPolicy, ConfigMap, PersistentVolumeClaim, Service, Deployment,
        PodDisruptionBudget,
    )
}  # fmt: skip
PLAIN = Installation(image="registry.example/shop:7", app="shop:app")
EVERYTHING = Installation(
    image="registry.example/shop:7",
    app="shop:app",
    name="shop",
    namespace="jobs",
    create_namespace=True,
    artifacts="s3://bucket/prefix?endpoint_url=http://minio.example:9000",
    secrets=("keys", "more-keys"),
    config='concurrency = 4\n\n[kubernetes.pod]\nenv = {REGION = "eu"}\n',
    storage="20Gi",
    storage_class="fast",
)
SHARED = Installation(image="registry.example/shop:7", app="shop:app", store="secret:db/url", replicas=3, open_egress=True)


@st.composite
def installations(draw: st.DrawFn) -> Installation:
    embedded = draw(st.booleans())
    return Installation(
        image=draw(st.from_regex(r"[a-z]{1,9}/[a-z]{1,9}:[0-9]{1,3}", fullmatch=True)),
        app=draw(st.none() | st.just("shop:app")),
        name=draw(st.from_regex(r"[a-z][a-z0-9]{0,41}", fullmatch=True)),
        namespace=(namespace := draw(st.none() | st.just("jobs"))),
        create_namespace=namespace is not None and draw(st.booleans()),
        store=None if embedded else draw(st.sampled_from(["secret:db/url", "other://host/db"])),
        artifacts=draw(st.none() | st.sampled_from(["s3://b/p", "gs://b", "secret:a/u"])),
        secrets=tuple(draw(st.lists(st.just("keys"), max_size=1))),
        config=draw(st.none() | st.just("concurrency = 4\n")),
        replicas=1 if embedded else draw(st.integers(1, 5)),
        open_egress=draw(st.booleans()),
    )


def of_kind(installation: Installation, kind: str) -> list[dict[str, Any]]:
    return [each for each in manifest(installation) if each["kind"] == kind]


def one(installation: Installation, kind: str) -> dict[str, Any]:
    (found,) = of_kind(installation, kind)
    return found


def container(installation: Installation) -> dict[str, Any]:
    (found,) = one(installation, "Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(found)


def variables(installation: Installation) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container(installation)["env"]}


# -- the whole -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "installation"), [("plain", PLAIN), ("everything", EVERYTHING), ("shared", SHARED)])
def test_an_installation_is_written_so(name: str, installation: Installation) -> None:
    """KLASSD_TEST_GOLDEN=write renews the files, for a person to look at what changed."""
    path, found = HERE / "golden" / f"{name}.yaml", stream(manifest(installation))
    if os.environ.get("KLASSD_TEST_GOLDEN") == "write":
        path.write_text(found)
    assert found == path.read_text()


@given(installations())
def test_every_document_is_one_that_the_api_has_words_for(installation: Installation) -> None:
    for document in manifest(installation):
        assert MODELS[document["kind"]].from_dict(document, lazy=False).to_dict() == document


@given(installations())
def test_what_is_written_is_read_as_what_was_meant(installation: Installation) -> None:
    documents = manifest(installation)
    assert list(yaml.safe_load_all(stream(documents))) == documents
    files = kustomization(documents)
    listed = yaml.safe_load(files["kustomization.yaml"])["resources"]
    assert [yaml.safe_load(files[name]) for name in listed] == documents


@given(installations())
def test_the_schedulers_pod_passes_the_restricted_standard(installation: Installation) -> None:
    assert violations(one(installation, "Deployment")["spec"]["template"]) == []
    assert container(installation)["securityContext"]["readOnlyRootFilesystem"] is True


@given(installations())
def test_one_selector_finds_the_installation_and_its_executions_and_only_executions_are_managed(
    installation: Installation,
) -> None:
    documents = manifest(installation)
    execution = job_of(installation)
    for document in [*documents, execution]:
        assert document["metadata"]["labels"]["app.kubernetes.io/instance"] == installation.name
    assert [each for each in documents if names.MANAGED_BY in each["metadata"]["labels"]] == []
    template = one(installation, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert names.MANAGED_BY not in template  # the executor would take the scheduler's own pod for an execution


def job_of(installation: Installation) -> dict[str, Any]:
    """What a scheduler of this installation makes of an execution."""
    said = {name: text for name, text in variables(installation).items() if isinstance(text, str)}
    settings = from_settings(load(env=said, directory=str(HERE)))
    return render(Order(execution_id="r-0-0-1", run_id="r", node="n", job="shop:Report", source="shop:Report"), settings).job


@given(installations())
def test_pods_of_jobs_are_nobody_to_the_api(installation: Installation) -> None:
    pod = job_of(installation)["spec"]["template"]["spec"]
    bound = {subject["name"] for subject in one(installation, "RoleBinding")["subjects"]}
    assert pod["serviceAccountName"] == installation.jobs_account
    assert pod["automountServiceAccountToken"] is False
    assert bound == {installation.name} and installation.jobs_account not in bound
    assert all(each["automountServiceAccountToken"] is False for each in of_kind(installation, "ServiceAccount"))


@given(installations())
def test_policies_match_the_pods_that_they_are_for(installation: Installation) -> None:
    scheduler = one(installation, "Deployment")["spec"]["template"]["metadata"]["labels"]
    execution = job_of(installation)["spec"]["template"]["metadata"]["labels"]
    own, jobs = (policy["spec"] for policy in of_kind(installation, "NetworkPolicy"))
    assert chosen(own, scheduler) and not chosen(own, execution)
    assert chosen(jobs, execution) and not chosen(jobs, scheduler)
    assert own["ingress"] == [{"from": [{"podSelector": jobs["podSelector"]}], "ports": [{"protocol": "TCP", "port": PORT}]}]


def chosen(policy: dict[str, Any], labels: dict[str, str]) -> bool:
    return bool(policy["podSelector"]["matchLabels"].items() <= labels.items())


# -- parts ---------------------------------------------------------------------------------------------------------


def test_sqlite_lies_on_a_claim_that_one_scheduler_has_at_a_time() -> None:
    deployment = one(PLAIN, "Deployment")["spec"]
    assert deployment["strategy"] == {"type": "Recreate"} and deployment["replicas"] == 1
    assert {"name": "state", "persistentVolumeClaim": {"claimName": "klassd"}} in deployment["template"]["spec"]["volumes"]
    assert load(env=variables(PLAIN), directory=str(HERE)).store_url == "sqlite:////var/lib/klassd/klassd.db"


def test_a_database_server_needs_no_claim_and_takes_several_schedulers() -> None:
    deployment = one(SHARED, "Deployment")["spec"]
    assert of_kind(SHARED, "PersistentVolumeClaim") == []
    assert deployment["strategy"] == {"type": "RollingUpdate"} and deployment["replicas"] == 3


def test_secrets_are_named_and_never_held() -> None:
    assert variables(SHARED)["KLASSD_STORE"] == {"secretKeyRef": {"name": "db", "key": "url"}}
    assert container(EVERYTHING)["envFrom"] == [{"secretRef": {"name": "keys"}}, {"secretRef": {"name": "more-keys"}}]
    assert of_kind(EVERYTHING, "Secret") == []


def test_a_changed_configuration_makes_a_new_pod() -> None:
    def stamp(config: str) -> Any:
        installation = Installation(image="i", app="shop:app", config=config)
        return one(installation, "Deployment")["spec"]["template"]["metadata"]["annotations"]

    assert stamp("concurrency = 4\n") == stamp("concurrency = 4\n") != stamp("concurrency = 5\n")


@pytest.mark.parametrize(
    ("artifacts", "port"),
    [
        (None, None),
        ("s3://bucket", 443),
        ("gs://bucket/prefix", 443),
        ("s3://bucket?endpoint_url=http://minio:9000", 9000),
        ("s3://bucket?endpoint_url=http://minio", 80),
        ("s3://bucket?endpoint_url=https://minio", 443),
        ("secret:artifacts/url", 443),
    ],
)
def test_jobs_may_reach_dns_the_scheduler_each_other_and_the_artifact_store(artifacts: str | None, port: int | None) -> None:
    installation = Installation(image="i", app="shop:app", artifacts=artifacts)
    dns, scheduler, jobs, *store = of_kind(installation, "NetworkPolicy")[1]["spec"]["egress"]
    assert [each["port"] for each in dns["ports"]] == [53, 53]
    assert scheduler["ports"] == [{"protocol": "TCP", "port": PORT}] and "to" in scheduler
    assert list(jobs) == ["to"]
    assert store == ([] if port is None else [{"ports": [{"protocol": "TCP", "port": port}]}])


@pytest.mark.parametrize(
    ("kubernetes", "api"), [(None, "policy/v1"), ("1.20", "policy/v1beta1"), ("1.21", "policy/v1"), ("1.36", "policy/v1")]
)
def test_a_disruption_budget_is_of_the_version_that_the_release_has(kubernetes: str | None, api: str) -> None:
    assert one(Installation(image="i", app="shop:app", kubernetes=kubernetes), "PodDisruptionBudget")["apiVersion"] == api


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"name": "Shop"}, "name is 'Shop': expected at most 42 small letters"),
        ({"name": "a" * 43}, "expected at most 42"),
        ({"create_namespace": True}, "add --namespace"),
        ({"store": "postgresql://user:secret@db/shop"}, "the URL of the store holds credentials.*--store secret:NAME/KEY"),
        ({"artifacts": "s3://key:secret@bucket"}, "the URL of the artifacts holds credentials.*--artifacts secret:NAME/KEY"),
        ({"store": "sqlite:///jobs.db"}, "a pod's own file or memory is gone with the pod"),
        ({"store": "memory:"}, "a pod's own file or memory is gone with the pod"),
        ({"replicas": 2}, "2 schedulers cannot share SQLite on a claim"),
        ({"kubernetes": "newest"}, "expected a release such as 1.20"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(said: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as caught:
        Installation(**{"image": "i", "app": "shop:app", **said})
    assert "secret@" not in str(caught.value)


def test_the_service_account_of_the_settings_is_weaker_than_that_of_a_pod() -> None:
    settings = KubernetesSettings(image="i", service_account="jobs")
    assert settings.shape.service_account == "jobs"
    assert msgspec.structs.replace(settings, pod=Pod(service_account="own")).shape.service_account == "own"
