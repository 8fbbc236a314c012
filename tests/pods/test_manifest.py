"""What a cluster is asked for."""

from __future__ import annotations

import base64
import json
import os
import re
import zlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lightkube.models.batch_v1 import Job as KubernetesJob
from pod_help import RUN, job, order, rendered, spec, template, variables, worker
from pod_shapes import careful_pods

from klassd.workflows import Resources
from klassd.workflows.errors import LaunchRefused
from klassd.workflows.executors.kubernetes import names
from klassd.workflows.executors.kubernetes.delivery import IN_CONFIG_MAP, IN_VARIABLE
from klassd.workflows.model.run import execution_id
from klassd.workflows.model.workflow import Node
from klassd.workflows.options import Needs, Options, Service
from klassd.workflows.order import ContainerSpec, Order
from klassd.workflows.pods import (
    Claim,
    ConfigMapKey,
    ConfigMapVolume,
    ContainerSecurity,
    EmptyDir,
    FromConfigMap,
    FromSecret,
    InitContainer,
    Mount,
    Pod,
    PodField,
    PodShape,
    SecretKey,
    SecretVolume,
    Sidecar,
    Toleration,
)
from klassd.workflows.rules import pods

HERE = Path(__file__).parent
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

EVERYTHING = Pod(
    image="registry.example/report:2",
    env={"MODE": "fast", "TOKEN": SecretKey("db", "password"), "LEVEL": ConfigMapKey("app", "level", optional=True)},
    env_from=[FromSecret("keys", prefix="KEY_"), FromConfigMap("flags", optional=True)],
    volumes={
        "cache": EmptyDir("2Gi", "Memory"),
        "cert": SecretVolume("tls", items={"tls.crt": "cert.pem"}, mode=0o440),
        "conf": ConfigMapVolume("conf"),
        "data": Claim("data", read_only=True),
    },
    mounts={"/cache": "cache", "/cert": Mount("cert", read_only=True), "/data": Mount("data", sub_path="in"), "/conf": "conf"},
    init_containers=[
        InitContainer(
            name="fetch", image="fetch:1", command=["sh", "-c"], args=['wget "$KLASSD_INPUT_URL"'], mounts={"/c": "cache"}
        )
    ],
    sidecars=[Sidecar(name="proxy", image="proxy:1", resources=Resources(cpu="50m", memory="none"))],
    security=ContainerSecurity(read_only_root=False),
    labels={"team": "sales"},
    annotations={"example.org/why": "a report"},
    node_selector={"disk": "ssd"},
    tolerations=[Toleration("gpu", effect="NoSchedule"), Toleration("slow", "yes", "NoExecute", seconds=60)],
    affinity={"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    priority_class="high",
    service_account="reporter",
    service_account_token=True,
    image_pull_policy="IfNotPresent",
    image_pull_secrets=["registry"],
    patch={"spec": {"runtimeClassName": "gvisor"}},
)


def golden(name: str, found: object) -> None:
    """Compares with the file; KLASSD_TEST_GOLDEN=write renews it, for a person to look at what changed."""
    path = HERE / "golden" / f"{name}.json"
    if os.environ.get("KLASSD_TEST_GOLDEN") == "write":
        path.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    assert found == json.loads(path.read_text())


def test_a_job_that_says_nothing_is_rendered_so() -> None:
    golden("plain", job(inputs={"market": "dk"}))


def test_a_job_that_says_everything_is_rendered_so() -> None:
    asked = msgspec.structs.replace(EVERYTHING.shape, resources=Needs(cpu="2", extended={"nvidia.com/gpu": "1"}))
    golden(
        "everything", job(asked, {"namespace": "jobs"}, inputs={"url": "https://x/$(A)", "days": 7}, timeout=60.0, grace=2.5)
    )


def test_a_large_order_is_rendered_so() -> None:
    found = rendered(inputs={"text": "x" * 100_000})
    golden(
        "large", {"job": found.job, "objects": [{**each, "binaryData": sorted(each["binaryData"])} for each in found.objects]}
    )


def test_a_service_that_is_an_image_is_rendered_so() -> None:
    container, service = ContainerSpec("postgres:16"), Service(ready="tcp", port=5432, ready_within=300.0)
    inputs = {"args": ["-c", "fsync=off"], "env": {"POSTGRES_HOST_AUTH_METHOD": "trust"}}
    golden("image_service", job(job="postgres", inputs=inputs, container=container, service=service, timeout=86400.0))


@given(careful_pods())
@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])  # a pod is many draws
def test_every_pod_is_one_that_the_api_has_words_for(pod: Pod) -> None:
    """The API server takes no unknown field silently under strict validation; the models know every field."""
    found = job(pod)
    model = KubernetesJob.from_dict(found, lazy=False)
    assert model.to_dict() == found


# -- names ---------------------------------------------------------------------------------------------------------


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(1, 10**9))
def test_the_name_of_a_job_says_its_execution_and_is_a_dns_label(ordinal: int, index: int, attempt: int) -> None:
    id_ = execution_id(RUN, ordinal, index, attempt)
    name = names.job_name(id_)
    assert DNS_LABEL.fullmatch(name) and (name == f"klassd-{id_}" or len(f"klassd-{id_}") > 63)


@given(st.text(min_size=1), st.text(min_size=1))
def test_any_id_gives_a_name_of_its_own(one: str, other: str) -> None:
    assert DNS_LABEL.fullmatch(names.job_name(one))
    assert (names.job_name(one) == names.job_name(other)) == (one == other)


@given(st.text(), st.text())
def test_any_text_gives_a_label_of_its_own(one: str, other: str) -> None:
    assert LABEL_VALUE.fullmatch(names.label_value(one))
    assert (names.label_value(one) == names.label_value(other)) == (one == other)


def test_what_a_label_had_to_shorten_is_an_annotation_in_full() -> None:
    long = "shop.reports.of.the.whole.company.and.its.subsidiaries:QuarterlyReport"
    metadata = job(job=long, node=long)["metadata"]
    assert metadata["annotations"]["klassd.dev/job"] == long
    assert (
        metadata["labels"]["klassd.dev/job"].startswith("shop.reports.of") and len(metadata["labels"]["klassd.dev/job"]) == 63
    )


def test_job_and_pod_bear_the_same_labels_and_nobody_can_take_them() -> None:
    shape = PodShape(labels={"klassd.dev/run": "another", "team": "sales"})  # stored before it was refused
    found = job(shape)
    ours = found["metadata"]["labels"]
    assert found["spec"]["template"]["metadata"]["labels"] == ours
    assert (ours["klassd.dev/run"], ours["team"]) == (RUN, "sales")
    assert ours.items() >= dict(each.split("=") for each in names.selector("klassd").split(",")).items()


# -- the Job -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "limits", "expected"),
    [
        ({}, {}, 24 * 3600),
        ({"active_deadline": "2h"}, {}, 7200),
        ({}, {"timeout": 60.0, "start_deadline": 30.0, "grace": 10.0}, 60 + 30 + 10 + 60),
        ({"start_deadline": "5m"}, {"timeout": 60.0, "grace": 0.5}, 60 + 300 + 1 + 60),
        ({}, {"timeout": 48 * 3600.0, "grace": 10.0}, 24 * 3600 + 48 * 3600 + 10 + 60),
    ],
)
def test_kubernetes_ends_a_job_only_after_the_scheduler_would_have(
    settings: dict[str, Any], limits: dict[str, Any], expected: int
) -> None:
    assert job(settings=settings, **limits)["spec"]["activeDeadlineSeconds"] == expected


def test_a_pod_has_a_little_longer_than_its_job_to_end() -> None:
    assert spec(grace=2.1)["terminationGracePeriodSeconds"] == 3 + 5


def test_a_job_without_any_image_is_refused_with_the_cure() -> None:
    with pytest.raises(LaunchRefused, match="no image for shop:Report: set KLASSD_IMAGE"):
        job(settings={"image": None})


# -- the order ------------------------------------------------------------------------------------------------------


def expanded(text: str) -> str:
    """What Kubernetes makes of a variable's value that nothing can be expanded in."""
    assert not re.search(r"(?<!\$)(\$\$)*\$(?!\$)", text), "something would be expanded"
    return text.replace("$$", "$")


def delivered(found: Any) -> Order:
    container = next(each for each in found.job["spec"]["template"]["spec"]["containers"] if each["name"] == "worker")
    env = variables(container)
    if "KLASSD_ORDER" in env:
        return msgspec.json.decode(expanded(env["KLASSD_ORDER"]), type=Order)
    [config_map] = found.objects
    volume = next(each for each in found.job["spec"]["template"]["spec"]["volumes"] if each.get("configMap"))
    mount = next(each for each in container["volumeMounts"] if each["name"] == volume["name"])
    assert volume["configMap"]["name"] == config_map["metadata"]["name"]
    [(key, packed)] = config_map["binaryData"].items()
    assert env["KLASSD_ORDER_FILE"] == f"{mount['mountPath']}/{key}"
    return msgspec.json.decode(zlib.decompress(base64.b64decode(packed)), type=Order)


@given(st.text(alphabet="$({A)}\\\"'\n ü", max_size=30))
def test_whatever_the_inputs_hold_arrives_as_it_is(text: str) -> None:
    assert delivered(rendered(inputs={"text": text})).inputs == {"text": text}


@pytest.mark.parametrize("size", [0, IN_VARIABLE - 400, IN_VARIABLE, 200_000, 4_000_000])
def test_an_order_of_any_size_arrives_without_what_only_the_launcher_needs(size: int) -> None:
    found = rendered(Pod(image="x"), inputs={"text": "$" + "x" * size}, expires=12.5)
    assert delivered(found) == order(inputs={"text": "$" + "x" * size})
    assert all(len(json.dumps(each)) < 128 * 1024 for each in variables(found.job["spec"]["template"]["spec"]["containers"][0]))
    assert len(json.dumps(found.job)) < 64 * 1024


def test_an_order_that_fits_nowhere_is_refused_with_the_cure() -> None:
    noise = base64.b64encode(os.urandom(2 * IN_CONFIG_MAP)).decode()
    with pytest.raises(LaunchRefused, match=r"too large for a pod: .* pass large data as an Artifact"):
        rendered(inputs={"noise": noise})


# -- containers ------------------------------------------------------------------------------------------------------


def test_init_containers_and_sidecars_find_the_inputs_in_variables() -> None:
    pod = Pod(init_containers=[InitContainer(name="i", env={"A": "a"})], sidecars=[Sidecar(name="s")])
    found = spec(pod, inputs={"market": "dk", "days": [1, 2], "much": "x" * 5000, "money": "$5", "größe": 1, "zero": "\0"})
    expected = {"KLASSD_INPUT_MARKET": "dk", "KLASSD_INPUT_DAYS": "[1,2]", "KLASSD_INPUT_MONEY": "$$5"}
    assert variables(found["initContainers"][0]) == {**expected, "A": "a"}
    assert variables(found["containers"][1]) == expected
    assert not variables(found["containers"][0]).keys() & expected.keys()


def test_containers_beside_have_the_jobs_image_unless_they_name_their_own() -> None:
    pod = Pod(image="job:1", init_containers=[InitContainer(name="i"), InitContainer(name="j", image="other:1")])
    assert [each["image"] for each in spec(pod)["initContainers"]] == ["job:1", "other:1"]


def test_init_containers_run_in_the_order_executor_job_node() -> None:
    executor = Pod(init_containers=[InitContainer(name="of-executor")])
    code = Pod(init_containers=[InitContainer(name="of-job")])
    found = spec(code, {"pod": executor})
    assert [each["name"] for each in found["initContainers"]] == ["of-executor", "of-job"]


def test_a_variable_may_come_from_the_pod_itself() -> None:
    assert variables(worker(Pod(env={"IP": PodField("status.podIP")})))["IP"] == {"fieldRef": {"fieldPath": "status.podIP"}}


@pytest.mark.parametrize(
    ("needs", "requests", "limits"),
    [
        (
            None,
            {"cpu": "100m", "memory": "128Mi", "ephemeral-storage": "256Mi"},
            {"memory": "512Mi", "ephemeral-storage": "2Gi"},
        ),
        (Needs(unconstrained=True), None, None),
        (Needs(unconstrained=True, cpu="1/2"), {"cpu": "1"}, {"cpu": "2"}),
        (
            Needs(cpu="none", memory="none/1Gi", ephemeral_storage="none"),
            None,
            {"memory": "1Gi"},
        ),
        (
            Needs(cpu="none", memory="none", ephemeral_storage="none", extended={"nvidia.com/gpu": "2", "x.org/y": "none"}),
            {"nvidia.com/gpu": "2"},
            {"nvidia.com/gpu": "2"},
        ),
    ],
)
def test_resources_are_rendered_as_requests_and_limits(needs: Needs | None, requests: object, limits: object) -> None:
    found = worker(PodShape(resources=needs)).get("resources", {})
    assert (found.get("requests"), found.get("limits")) == (requests, limits)


def test_a_request_above_the_limit_of_another_layer_is_refused() -> None:
    with pytest.raises(LaunchRefused, match="'worker' requests 128Mi memory, more than its limit of 64Mi"):
        job(PodShape(resources=Needs(memory="/64Mi")))


def test_memory_that_has_grown_is_what_the_container_gets() -> None:
    """Over whatever the executor's own layers say."""
    node = Node("report", "shop:Report", "shop:Report", options=Options(resources=Needs(cpu="1", memory="64Mi/128Mi")))
    asked = pods.asked(node, {}, "256Mi/512Mi")
    found = worker(asked, {"resources": Resources(memory="1Gi/2Gi", cpu="4")})["resources"]
    assert (found["requests"]["memory"], found["limits"]["memory"]) == ("256Mi", "512Mi")
    assert found["limits"]["cpu"] == "1"


def test_a_mount_of_a_volume_that_no_layer_has_is_refused() -> None:
    with pytest.raises(
        LaunchRefused, match="'worker' mounts the volume 'gone' at /x, and there is none of that name among 'tmp'"
    ):
        job(Pod(mounts={"/x": "gone"}))


def test_containers_of_one_name_from_two_layers_are_refused() -> None:
    with pytest.raises(LaunchRefused, match="2 containers are named 'proxy'"):
        job(Pod(init_containers=[InitContainer(name="proxy")]), {"pod": Pod(sidecars=[Sidecar(name="proxy")])})


# -- patches -----------------------------------------------------------------------------------------------------------


def test_a_patch_reaches_what_has_no_option_of_its_own() -> None:
    over = {"name": "worker", "env": [{"name": "HOME", "value": "/home"}], "tty": True}
    patch = {
        "metadata": {"annotations": {"example.org/mesh": "off"}},
        "spec": {
            "runtimeClassName": "gvisor",
            "enableServiceLinks": None,
            "containers": [over, {"name": "more", "image": "m"}],
        },
    }
    found = template(Pod(patch=patch))
    annotations = found["metadata"]["annotations"]
    assert (annotations["example.org/mesh"], annotations["klassd.dev/job"]) == ("off", "shop:Report")
    assert found["spec"]["runtimeClassName"] == "gvisor" and "enableServiceLinks" not in found["spec"]
    one, more = found["spec"]["containers"]
    assert one["tty"] and one["image"] == "shop:1" and variables(one)["HOME"] == "/home" and "KLASSD_ORDER" in variables(one)
    assert more == {"name": "more", "image": "m"}


def test_patches_of_stronger_layers_go_over_those_of_weaker_ones() -> None:
    executor = Pod(patch={"spec": {"hostname": "executor", "subdomain": "executor"}})
    found = spec(Pod(patch={"spec": {"hostname": "job"}}), {"pod": executor})
    assert (found["hostname"], found["subdomain"]) == ("job", "executor")


@pytest.mark.parametrize(
    ("patch", "problem"),
    [
        ({"spec": {"restartPolicy": "OnFailure"}}, "the patch changes restartPolicy"),
        (
            {"spec": {"containers": [{"name": "worker", "command": ["sh"]}]}},
            "the patch changes command of",
        ),
        ({"spec": {"containers": [{"image": "x"}]}}, "the patch changes command of"),
        ({"spec": {"containers": None}}, "the patch changes command of"),
        ({"spec": {"containers": "none"}}, "the patch makes containers 'none': expected a list of objects"),
        ({"spec": {"volumes": [1]}}, r"the patch makes volumes \[1\]: expected a list of objects"),
        ({"spec": {"containers": [{"name": "worker", "resources": 5}]}}, "the patch makes resources of a container 5"),
        ({"metadata": {"labels": {"klassd.dev/run": "x"}}}, "the patch changes the label klassd.dev/run"),
        ({"metadata": {"labels": None}}, "the patch changes the label app.kubernetes.io/managed-by"),
    ],
)
def test_a_patch_that_takes_away_what_the_outcome_depends_on_is_refused(patch: dict[str, Any], problem: str) -> None:
    with pytest.raises(LaunchRefused, match=problem):
        job(Pod(patch=patch))


def test_a_patch_with_quantities_that_only_kubernetes_reads_is_left_to_it() -> None:
    resources = {"requests": {"memory": "1e3"}, "limits": {"memory": "128974848000m"}}
    found = worker(Pod(patch={"spec": {"containers": [{"name": "worker", "resources": resources}]}}))
    assert found["resources"]["requests"]["memory"] == "1e3"
