"""What differs between the releases of Kubernetes that the executor has to work on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Release:
    name: str
    suspend: bool = True  # 1.21: a Job may be suspended; before, the field is dropped
    located: bool = True  # 1.22: of a container that a deleted pod never had, it is said that it could not be located
    tracked: bool = True  # 1.26: a pod stays, by a finalizer, until its Job has counted it; a deleted one counts as failed
    disruption: bool = True  # 1.26: a pod that is evicted or preempted carries the condition DisruptionTarget
    prefixed: bool = True  # 1.27: labels of pods begin with batch.kubernetes.io/ besides the old ones
    replacement: bool = True  # 1.28: podReplacementPolicy; before, the field is dropped and a twin starts beside what ends
    whole: bool = True  # 1.28 with cgroup v2: where memory runs out, all of the container is killed
    terminal: bool = True  # 1.31: a Job is Failed or Complete only when no pod of it is left; before that FailureTarget


OLD = Release(
    name="v1.20.2",
    suspend=False,
    located=False,
    tracked=False,
    disruption=False,
    prefixed=False,
    replacement=False,
    whole=False,
    terminal=False,
)
MIDDLE = Release(name="v1.27.16", replacement=False, whole=False, terminal=False)
NEW = Release(name="v1.34.1")
RELEASES = (OLD, MIDDLE, NEW)
