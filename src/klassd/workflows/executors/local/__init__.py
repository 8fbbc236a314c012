"""Runs executions as processes of this machine, as a kubelet runs pods.

    launch   -> the template process of the job's module forks it and supervises it; or a worker process of its own
    follow   <- the spool file that the supervisor writes, from an offset on
    stop     -> the template, or a signal
    reap     -> empties the spool file; the file itself stays for an hour as the mark that this execution was started

Nothing here holds a job: this process may be killed at any moment, and another one adopts what runs.
"""

from klassd.workflows.executors.local.executor import LocalExecutor

__all__ = ["LocalExecutor"]
