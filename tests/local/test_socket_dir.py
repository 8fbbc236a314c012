import os
import socket
import stat
import tempfile
from pathlib import Path

import pytest

from klassd.workflows.errors import ConfigurationError
from klassd.workflows.sockets import NAME_ROOM, socket_dir


@pytest.fixture
def temp(tmp_path, monkeypatch):
    """A temporary directory of the system with a short name, as /tmp is."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="kt") as directory:
        monkeypatch.setattr(tempfile, "tempdir", directory)
        yield Path(directory)


def test_a_state_directory_has_one_socket_directory_however_its_path_is_written(tmp_path, temp, monkeypatch):
    (tmp_path / "link").symlink_to(tmp_path / "state")
    (tmp_path / "state").mkdir()
    monkeypatch.chdir(tmp_path)
    assert {socket_dir(p) for p in ("state", "link", f"{tmp_path}/./state")} == {socket_dir(str(tmp_path / "state"))}
    assert socket_dir(str(tmp_path / "other")) != socket_dir("state")


def test_nobody_else_may_look_into_it(tmp_path, temp):
    path = socket_dir(str(tmp_path))
    os.chmod(path, 0o755)
    assert socket_dir(str(tmp_path)) == path
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o700


def test_a_socket_can_be_bound_even_when_state_and_temporary_directory_are_deep(tmp_path, temp, monkeypatch):
    deep = temp / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    path = socket_dir(str(tmp_path / ("s" * 200)))
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.join(path, "n" * NAME_ROOM))
    os.unlink(os.path.join(path, "n" * NAME_ROOM))
    os.rmdir(path)


@pytest.mark.parametrize("trap", ["link", "file", "owner"])
def test_a_trap_at_its_place_is_refused_by_name(tmp_path, temp, trap, monkeypatch):
    if trap == "owner":
        monkeypatch.setattr(os, "getuid", lambda: 12345)  # whatever this process makes is then another user's
    path = socket_dir(str(tmp_path))
    os.rmdir(path)
    if trap == "link":
        os.symlink(tmp_path, path)
    elif trap == "file":
        open(path, "w").close()
    else:
        os.mkdir(path)
    with pytest.raises(ConfigurationError, match=f"{path}.*TMPDIR"):
        socket_dir(str(tmp_path))
