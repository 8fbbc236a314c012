"""Where a state directory's unix sockets lie.

Not in the state directory itself: the path of a unix socket has at most 103 bytes (macOS; 107 on Linux), and a project's
directory may be deeper than that, or on a file system without sockets.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile

from klassd.workflows.errors import ConfigurationError

NAME_ROOM = 32  # bytes a socket's own name may have
_MOST = 103 - 1 - NAME_ROOM


def socket_dir(state_dir: str) -> str:
    """The directory for the sockets of ``state_dir``: made if missing, the same for every process of this user, closed to
    others (0700). Names in it have at most ``NAME_ROOM`` bytes. Raises ``ConfigurationError`` if it is somebody else's."""
    path = _path(state_dir)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        _check(path)
    return path


def _path(state_dir: str) -> str:
    digest = hashlib.sha256(os.fsencode(os.path.realpath(state_dir))).hexdigest()
    name = f"klassd-{os.getuid()}-{digest[:16]}"
    path = os.path.join(tempfile.gettempdir(), name)
    return path if len(os.fsencode(path)) <= _MOST else os.path.join("/tmp", name)  # noqa: S108


def _check(path: str) -> None:
    """The name can be guessed and /tmp is everybody's: what stands there may be a trap."""
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise ConfigurationError(
            f"{path} should be a directory of user {os.getuid()}, but is a {stat.filemode(found.st_mode)[0]!r} entry "
            f"of user {found.st_uid}: remove it, or set TMPDIR to a directory of your own"
        )
    if stat.S_IMODE(found.st_mode) != 0o700:
        os.chmod(path, 0o700)
