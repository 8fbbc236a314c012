"""Who may speak to whom. Policies add up: what jobs need besides is one more policy, not a change of these."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from klassd.workflows.deploy import labels
from klassd.workflows.deploy.installation import PORT, Installation, secret_of

DNS = [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]
HTTPS = 443


def policies(installation: Installation) -> list[dict[str, Any]]:
    return [_scheduler(installation), _jobs(installation)]


def _scheduler(installation: Installation) -> dict[str, Any]:
    """Where it goes itself (API server, store) is not for us to know."""
    ingress = [{"from": [_pods(labels.executions(installation))], "ports": [_tcp(PORT)]}]
    spec = {"podSelector": {"matchLabels": labels.scheduler(installation)}, "policyTypes": ["Ingress"], "ingress": ingress}
    return _policy(installation, installation.name, spec)


def _jobs(installation: Installation) -> dict[str, Any]:
    """Only jobs of the same installation reach a job: that is what services are for."""
    jobs = labels.executions(installation)
    spec = {
        "podSelector": {"matchLabels": jobs},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [_pods(jobs)]}],
        "egress": [{}] if installation.open_egress else _egress(installation),
    }
    return _policy(installation, installation.jobs_account, spec)


def _egress(installation: Installation) -> list[dict[str, Any]]:
    port = _artifacts_port(installation)
    return [
        {"ports": DNS},
        {"to": [_pods(labels.scheduler(installation))], "ports": [_tcp(PORT)]},
        {"to": [_pods(labels.executions(installation))]},
        *([] if port is None else [{"ports": [_tcp(port)]}]),
    ]


def _artifacts_port(installation: Installation) -> int | None:
    """Of the artifact store; by name it cannot be said in a policy."""
    url = installation.artifacts
    if not url:
        return None
    endpoint = "" if secret_of(url) else "".join(parse_qs(urlsplit(url).query).get("endpoint_url", ()))
    parts = urlsplit(endpoint)
    return parts.port or (80 if parts.scheme == "http" else HTTPS)


def _pods(selector: dict[str, str]) -> dict[str, Any]:
    return {"podSelector": {"matchLabels": selector}}


def _tcp(port: int) -> dict[str, Any]:
    return {"protocol": "TCP", "port": port}


def _policy(installation: Installation, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return labels.document(installation, "networking.k8s.io/v1", "NetworkPolicy", name, spec=spec)
