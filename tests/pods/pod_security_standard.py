"""The *restricted* profile of Kubernetes' Pod Security Standards, control by control as its page publishes them
(kubernetes.io/docs/concepts/security/pod-security-standards): the baseline ones first, then those of restricted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip
SYSCTLS = {
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
}  # fmt: skip
SELINUX = {None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
APPARMOR = "container.apparmor.security.beta.kubernetes.io/"


def violations(template: dict[str, Any]) -> list[str]:
    """The controls that a pod template does not pass."""
    spec = template["spec"]
    every = [*spec.get("initContainers", ()), *spec["containers"], *spec.get("ephemeralContainers", ())]
    return [*_of_pod(template, spec), *(f"{each['name']}: {told}" for each in every for told in _of_container(spec, each))]


def _of_pod(template: dict[str, Any], spec: dict[str, Any]) -> Iterator[str]:
    security = spec.get("securityContext", {})
    yield from (f"Host Namespaces: {name}" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name))
    yield from (f"Volume Types: {volume}" for volume in spec.get("volumes", ()) if not (volume.keys() - {"name"}) <= VOLUMES)
    yield from (f"Sysctls: {each}" for each in security.get("sysctls", ()) if each["name"] not in SYSCTLS)
    for name, profile in template.get("metadata", {}).get("annotations", {}).items():
        if name.startswith(APPARMOR) and not (profile == "runtime/default" or profile.startswith("localhost/")):
            yield f"AppArmor: {profile}"
    yield from _of_either(security)


def _of_container(spec: dict[str, Any], container: dict[str, Any]) -> Iterator[str]:
    own, pods = container.get("securityContext", {}), spec.get("securityContext", {})
    capabilities = own.get("capabilities", {})
    yield from _of_either(own)
    if own.get("privileged"):
        yield "Privileged Containers"
    if any(port.get("hostPort") for port in container.get("ports", ())):
        yield "Host Ports"
    if own.get("procMount") not in (None, "Default"):
        yield "/proc Mount Type"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "Privilege Escalation"
    if own.get("runAsNonRoot", pods.get("runAsNonRoot")) is not True:
        yield "Running as Non-root"
    if own.get("seccompProfile", pods.get("seccompProfile", {})).get("type") not in ("RuntimeDefault", "Localhost"):
        yield "Seccomp"
    if "ALL" not in capabilities.get("drop", ()) or not set(capabilities.get("add", ())) <= {"NET_BIND_SERVICE"}:
        yield f"Capabilities: {capabilities}"


def _of_either(security: dict[str, Any]) -> Iterator[str]:
    """What holds for the security context of a pod and of a container alike."""
    selinux = security.get("seLinuxOptions", {})
    if security.get("windowsOptions", {}).get("hostProcess"):
        yield "HostProcess"
    if selinux.get("type") not in SELINUX or selinux.get("user") or selinux.get("role"):
        yield "SELinux"
    if security.get("runAsUser") == 0:
        yield "Running as Non-root user"
    if security.get("seccompProfile", {}).get("type") not in (None, "RuntimeDefault", "Localhost"):
        yield "Seccomp"
    if security.get("appArmorProfile", {}).get("type") not in (None, "RuntimeDefault", "Localhost"):
        yield "AppArmor"
