"""Whatever a pod is made of, it passes the restricted Pod Security Standard unless somebody gave that up by name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from pod_help import job, template
from pod_security_standard import violations
from pod_shapes import careful_pods

from klassd.workflows.errors import LaunchRefused
from klassd.workflows.pods import ContainerSecurity, HostPath, InitContainer, Pod, PodSecurity


@given(careful_pods())
@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])  # a pod is many draws
def test_a_pod_that_gives_nothing_up_passes_the_restricted_standard(pod: Pod) -> None:
    assert violations(template(pod)) == []


def test_so_does_the_pod_of_a_job_that_says_nothing() -> None:
    assert violations(template()) == []


@pytest.mark.parametrize(
    ("pod", "control"),
    [
        (Pod(host_network=True), "Host Namespaces: hostNetwork"),
        (Pod(volumes={"h": HostPath("/etc")}), "Volume Types: {'name': 'h', 'hostPath': {'path': '/etc'}}"),
        (Pod(security=ContainerSecurity(privileged=True)), "worker: Privileged Containers"),
        (Pod(security=ContainerSecurity(allow_privilege_escalation=True)), "worker: Privilege Escalation"),
        (Pod(security=ContainerSecurity(run_as_user=0)), "worker: Running as Non-root user"),
        (Pod(security=ContainerSecurity(run_as_non_root=False)), "worker: Running as Non-root"),
        (Pod(security=ContainerSecurity(seccomp="Unconfined")), "worker: Seccomp"),
        (Pod(security=ContainerSecurity(add_capabilities=("SYS_TIME",))), "worker: Capabilities"),
        (Pod(security=ContainerSecurity(drop_capabilities=())), "worker: Capabilities"),
        (Pod(security="none"), "worker: Privilege Escalation"),
        (Pod(pod_security="none"), "worker: Running as Non-root"),
        (Pod(pod_security=PodSecurity(run_as_user=0)), "Running as Non-root user"),
        (Pod(init_containers=[InitContainer(name="i", security=ContainerSecurity(run_as_user=0))]), "i: Running as Non-root"),
        (Pod(patch={"spec": {"hostPID": True}}), "Host Namespaces: hostPID"),
        (Pod(patch={"spec": {"containers": [{"name": "worker", "ports": [{"hostPort": 80}]}]}}), "worker: Host Ports"),
    ],
)
def test_the_standard_sees_what_is_given_up(pod: Pod, control: str) -> None:
    found = violations(template(pod, {"allow": ("host_path", "host_network", "privileged")}))
    assert any(each.startswith(control) for each in found), found


@pytest.mark.parametrize(
    ("pod", "hazard"),
    [
        (Pod(volumes={"h": HostPath("/etc")}), "host_path"),
        (Pod(host_network=True), "host_network"),
        (Pod(security=ContainerSecurity(privileged=True)), "privileged"),
        (Pod(init_containers=[InitContainer(name="i", security=ContainerSecurity(privileged=True))]), "privileged"),
        (Pod(patch={"spec": {"hostIPC": True}}), "host_network"),
        (Pod(patch={"spec": {"volumes": [{"name": "h", "hostPath": {"path": "/"}}]}}), "host_path"),
        (Pod(patch={"spec": {"containers": [{"name": "worker", "securityContext": {"privileged": True}}]}}), "privileged"),
    ],
)
def test_what_breaks_out_of_the_pod_needs_the_operators_word(pod: Pod, hazard: str) -> None:
    others = tuple({"host_path", "host_network", "privileged"} - {hazard})
    with pytest.raises(LaunchRefused, match=f"{hazard} .* is not allowed here: the executor needs allow = \\['{hazard}'\\]"):
        job(pod, {"allow": others})
    assert job(pod, {"allow": (hazard,)})


def test_every_reason_is_given_at_once() -> None:
    pod: Any = Pod(host_network=True, volumes={"h": HostPath("/etc")}, mounts={"/x": "gone"})
    with pytest.raises(LaunchRefused) as caught:
        job(pod)
    assert all(part in str(caught.value) for part in ("host_network", "host_path", "'gone'", "shop:Report"))
