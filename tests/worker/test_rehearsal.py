"""Before it forks anything, a forker runs a job of its own: nothing of it may be left to the jobs."""

from __future__ import annotations

import json
import subprocess
import sys

from worker_help import environment

CODE = """
import json, os, signal, sys
import msgspec
from klassd.workflows.order import Order
from klassd.workflows.worker.rehearsal import rehearse

def state():
    handler = signal.getsignal(signal.SIGTERM)
    fds = sorted(os.listdir("/proc/self/fd"))
    return [id(sys.stdout), id(sys.stderr), [str(each) for each in sys.meta_path], str(handler), fds]

before = state()
rehearse(msgspec.json.Decoder(Order))
print(json.dumps([before, state()]))
"""


def test_a_rehearsal_leaves_the_process_as_it_found_it() -> None:
    told = subprocess.run([sys.executable, "-c", CODE], env=environment(), capture_output=True, text=True, check=True)
    before, after = json.loads(told.stdout)
    assert told.stderr == "" and before == after
