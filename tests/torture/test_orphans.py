from __future__ import annotations

import os
import signal
import subprocess

from proof import orphans


def orphan() -> int:
    """The pid of a process whose parent has ended."""
    command = "sleep 1000 >/dev/null 2>&1 & echo $!"
    return int(subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout)


def parent(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def is_gone(pid: int) -> bool:
    return not os.path.exists(f"/proc/{pid}")


def end(pid: int) -> None:
    """Returns when it has ended and only waits to be buried."""
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def test_orphans_are_ours_while_they_are_adopted_and_are_buried_at_the_end() -> None:
    with orphans.adopted(lambda: ()) as bury:
        first, second = orphan(), orphan()
        assert parent(first) == parent(second) == os.getpid()
        end(first)
        bury()
        assert is_gone(first)
        end(second)
    assert is_gone(second)
    third = orphan()
    assert parent(third) != os.getpid()
    os.kill(third, signal.SIGKILL)
