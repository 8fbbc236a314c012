"""OpenStack Swift with its S3 interface in one process: ``python swift_server.py DIRECTORY SECRET``; writes its
port there.

A strict server: it checks signatures and their age, Content-MD5 and the sizes of parts. Swift is four servers; here they
share an event loop, one device and one replica. The one user is test:tester with SECRET.
"""

# ruff: noqa: E402
from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import eventlet

eventlet.monkey_patch()

from eventlet import wsgi
from swift.common import utils
from swift.common.ring import RingBuilder
from swift.common.wsgi import loadapp

KINDS = ("account", "container", "object")
PROXY = """
[DEFAULT]
swift_dir = {directory}
[pipeline:main]
pipeline = catch_errors s3api tempauth bulk slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
max_upload_part_num = 10000
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = {secret} .admin
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
rate_limit_after_segment = 100000
max_manifest_segments = 10000
[filter:dlo]
use = egg:swift#dlo
"""
BACKEND = """
[DEFAULT]
swift_dir = {directory}
devices = {directory}/devices
mount_check = false
[pipeline:main]
pipeline = server
[app:server]
use = egg:swift#{kind}
"""


def main(directory: Path, secret: str) -> None:
    sockets = {kind: eventlet.listen(("127.0.0.1", 0)) for kind in KINDS}
    write_configuration(directory, secret)
    for kind, socket in sockets.items():
        write_ring(directory, kind, socket.getsockname()[1])
    utils.set_swift_dir(str(directory))
    for kind, socket in sockets.items():
        eventlet.spawn(wsgi.server, socket, loadapp(str(directory / f"{kind}.conf")), log_output=False)
    front = eventlet.listen(("127.0.0.1", 0))
    (directory / "port").write_text(str(front.getsockname()[1]))
    wsgi.server(front, loadapp(str(directory / "proxy.conf")), log_output=False)


def write_configuration(directory: Path, secret: str) -> None:
    (directory / "devices" / "disk").mkdir(parents=True)
    (directory / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = test\n")
    (directory / "proxy.conf").write_text(PROXY.format(directory=directory, secret=secret))
    for kind in KINDS:
        (directory / f"{kind}.conf").write_text(BACKEND.format(directory=directory, kind=kind))


def write_ring(directory: Path, kind: str, port: int) -> None:
    builder = RingBuilder(1, 1, 0)
    device: dict[str, Any] = {"id": 0, "region": 1, "zone": 1, "weight": 1, "ip": "127.0.0.1", "port": port, "device": "disk"}
    builder.add_dev(device)
    builder.rebalance()
    builder.get_ring().save(str(directory / f"{kind}.ring.gz"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
