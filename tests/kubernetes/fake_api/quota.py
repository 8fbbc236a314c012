"""Resource quotas, as the admission of a real server counts them: how many objects there may be."""

from __future__ import annotations

from fake_api.refused import Refused
from fake_api.storage import QUALIFIED, Storage


def check(storage: Storage, resource: str, namespace: str, what: str) -> None:
    for quota in storage.all("resourcequotas", namespace):
        for counted, limit in quota["spec"]["hard"].items():
            if counted not in (resource, f"count/{QUALIFIED.get(resource, resource)}"):
                continue
            used = len(storage.all(resource, namespace))
            if used + 1 > int(limit):
                name = quota["metadata"]["name"]
                raise Refused(
                    403,
                    f"{what} is forbidden: exceeded quota: {name}, requested: {counted}=1, used: {counted}={used},"
                    f" limited: {counted}={limit}",
                )
