"""What it means for a launch that the API server says no: never, or not now. Pure."""

from __future__ import annotations

from klassd.workflows.errors import LaunchDelayed, LaunchRefused
from klassd.workflows.executors.kubernetes.api import ApiError

QUOTA, RIGHTS = 10.0, 30.0  # seconds before a launch is tried again


def launch_error(error: ApiError, namespace: str) -> LaunchRefused | LaunchDelayed:
    if error.status == 403 and ("exceeded quota" in error.message or "unknown for quota" in error.message):
        return LaunchDelayed(f"quota of namespace {namespace}: {error.message}", QUOTA)
    if error.status == 403 and "is being terminated" in error.message:
        return LaunchRefused(f"namespace {namespace} is being deleted: {error.message}")
    if error.lacking:
        return LaunchDelayed(f"{error} (namespace {namespace})", RIGHTS)
    if error.status == 404:
        return LaunchDelayed(f"configuration: namespace {namespace} is not there: {error.message}", RIGHTS)
    if error.status == 409:
        return LaunchDelayed(f"a conflict in namespace {namespace}: {error.message}")
    return LaunchRefused(f"Kubernetes refuses the pod: {error.message}")
