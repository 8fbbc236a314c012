"""Where the machine has no room for another process."""

import errno
import os


def fork() -> int:
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


os.fork = fork  # type: ignore[assignment]
