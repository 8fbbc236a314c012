from __future__ import annotations

from typing import Any

from klassd.workflows.executors.kubernetes.manifest import Rendered, render
from klassd.workflows.executors.kubernetes.settings import KubernetesSettings
from klassd.workflows.order import Order
from klassd.workflows.pods import Pod, PodShape

RUN = "0tj3v4k7q2m9x8w5y6zb"


def order(pod: Pod | PodShape | None = None, **fields: Any) -> Order:
    said: dict[str, Any] = {"node": "report", "job": "shop:Report", "source": "shop:Report", "nonce": "n" * 32}
    shape = pod.shape if isinstance(pod, Pod) else pod
    return Order(**{"execution_id": f"{RUN}-0-0-1", "run_id": RUN, "pod": shape, **said, **fields})


def rendered(pod: Pod | PodShape | None = None, settings: dict[str, Any] | None = None, **fields: Any) -> Rendered:
    return render(order(pod, **fields), KubernetesSettings(**{"image": "shop:1", **(settings or {})}))


def job(pod: Pod | PodShape | None = None, settings: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return rendered(pod, settings, **fields).job


def template(pod: Pod | PodShape | None = None, settings: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = job(pod, settings, **fields)["spec"]["template"]
    return found


def spec(pod: Pod | PodShape | None = None, settings: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = template(pod, settings, **fields)["spec"]
    return found


def worker(pod: Pod | PodShape | None = None, settings: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return next(each for each in spec(pod, settings, **fields)["containers"] if each["name"] == "worker")


def variables(container: dict[str, Any]) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container.get("env", ())}
