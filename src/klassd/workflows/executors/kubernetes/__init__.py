"""Runs executions as pods of a cluster: a ``batch/v1`` Job each.

    launch   -> creates the Job, named after the execution: whoever comes second finds it
    follow   <- the pod's log, and what two watches (of Jobs and of pods) say of it; the end from the terminated container
    stop     -> the Job wants no pod any more: Kubernetes ends the one there is, and the Job stays as the mark of its launch
    reap     -> a time to live, once the outcome is stored

Nothing here holds a pod: this process may be killed at any moment, and another one adopts what runs.
"""

from klassd.workflows.executors.kubernetes.executor import KubernetesExecutor

__all__ = ["KubernetesExecutor"]
