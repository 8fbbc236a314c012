"""What a pod is given to claim its start with, and who else could see it."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from pod_help import order, rendered, spec, template, variables, worker
from pod_security_standard import violations

from klassd.workflows import Pod
from klassd.workflows.errors import ConfigurationError
from klassd.workflows.executors.kubernetes.settings import KubernetesSettings, from_settings
from klassd.workflows.pods import InitContainer, Sidecar
from klassd.workflows.settings import load

SECRET = "ab" * 32
CALLBACK = {"callback": "http://klassd.jobs.svc:8700"}


def claiming(pod: Pod | None = None, **more: Any) -> Any:
    return rendered(pod, CALLBACK, claim=SECRET, **more)


def test_the_secret_is_an_object_of_its_own_that_nobody_watches() -> None:
    made = claiming()
    (secret,) = made.objects
    assert (secret["kind"], secret["metadata"]["name"], secret["immutable"]) == ("Secret", made.job["metadata"]["name"], True)
    assert base64.b64decode(secret["data"]["token"]).decode() == SECRET


@pytest.mark.parametrize("inputs", [{}, {"much": "x" * 100_000}], ids=["order in a variable", "order in a file"])
def test_neither_the_job_nor_any_other_object_says_it(inputs: dict[str, Any]) -> None:
    made = claiming(inputs=inputs)
    others = [each for each in made.objects if each["kind"] != "Secret"]
    text = msgspec.json.encode([made.job, *others]).decode()
    assert SECRET not in text and base64.b64encode(SECRET.encode()).decode() not in text
    assert SECRET.encode() not in order(claim=SECRET).encoded()


def test_the_worker_is_told_where_to_ask_and_who_it_is() -> None:
    found = variables(worker(None, CALLBACK, claim=SECRET))
    assert found["KLASSD_CLAIM_URL"] == f"http://klassd.jobs.svc:8700/api/v1/executions/{order().execution_id}/start"
    assert found["KLASSD_POD_NAME"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert found["KLASSD_POD_UID"] == {"fieldRef": {"fieldPath": "metadata.uid"}}
    (mount,) = [each for each in worker(None, CALLBACK, claim=SECRET)["volumeMounts"] if each["name"] == "klassd-claim"]
    assert found["KLASSD_CLAIM_TOKEN_FILE"] == f"{mount['mountPath']}/token" and mount["readOnly"]


def test_no_container_beside_the_worker_has_it() -> None:
    pod = Pod(init_containers=[InitContainer(name="first", image="x:1")], sidecars=[Sidecar(name="beside", image="x:1")])
    made = spec(pod, CALLBACK, claim=SECRET)
    for container in [each for each in [*made["containers"], *made["initContainers"]] if each["name"] != "worker"]:
        assert "klassd-claim" not in [each["name"] for each in container.get("volumeMounts", ())]
        assert not [name for name in variables(container) if name.startswith("KLASSD_CLAIM")]


def test_such_a_pod_passes_the_restricted_standard() -> None:
    assert violations(template(None, CALLBACK, claim=SECRET)) == []


@pytest.mark.parametrize(("own", "patience"), [(None, 120.0), (7.0, 7.0)])
def test_it_asks_no_longer_than_its_start_deadline_or_that_of_the_executor(own: float | None, patience: float) -> None:
    found = variables(worker(None, CALLBACK | {"start_deadline": "2m"}, claim=SECRET, start_deadline=own))
    assert msgspec.json.decode(found["KLASSD_ORDER"])["start_deadline"] == patience


@pytest.mark.parametrize(("settings", "claim"), [({}, SECRET), (CALLBACK, "")])
def test_without_an_address_or_a_secret_nothing_is_asked(settings: dict[str, Any], claim: str) -> None:
    assert rendered(None, settings, claim=claim) == rendered()


@pytest.mark.parametrize("url", ["https://klassd.example.com/sub/path/", "http://[fd00::1]:8700", "http://10.0.0.1"])
def test_an_address_may_be_anything_that_a_pod_can_ask(url: str) -> None:
    found = KubernetesSettings(callback=url).claim_url("run-0-0-1")
    assert found == f"{url.rstrip('/')}/api/v1/executions/run-0-0-1/start"


@pytest.mark.parametrize("url", ["klassd:8700", "ftp://klassd", "http://user:secret@klassd", "http://klassd?x=1", "http://"])
def test_an_address_that_cannot_be_asked_is_refused_with_its_name(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"callback is .*expected http://HOST:PORT"):
        from_settings(load({}, {"KLASSD_KUBERNETES_CALLBACK": url}, "/"))
