"""Signing in with exec plug-ins: real programs, and an API that looks at the token."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cluster_help import Cluster
from lightkube.config.kubeconfig import KubeConfig
from lightkube.core.exceptions import ConfigError

from klassd.workflows.executors.kubernetes import plugin
from klassd.workflows.executors.kubernetes.api import JOBS, Api, Unavailable, connect
from klassd.workflows.executors.kubernetes.plugin import PluginAuth
from klassd.workflows.executors.kubernetes.settings import KubernetesSettings

PLUGIN = """#!{python}
import json, os, sys
count = len(open({log!r}, "a+").read())
open({log!r}, "a").write(".")
info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
assert info["spec"]["interactive"] is False and info["spec"]["cluster"]["server"], info
{body}
"""
GIVES = """
number = os.path.getsize({log!r})
status = {{"token": f"{{os.environ['PREFIX']}}-{{number}}", "expirationTimestamp": {until!r}}}
print(json.dumps({{"apiVersion": info["apiVersion"], "kind": "ExecCredential", "status": status}}))
"""


class Place:
    """A kubeconfig that names a plug-in beside it."""

    def __init__(self, path: Path) -> None:
        self.path, self.log = path, path / "log"
        self.log.touch()

    def plugin(self, body: str) -> None:
        program = self.path / "plugin"
        program.write_text(PLUGIN.format(python=sys.executable, log=str(self.log), body=body))
        program.chmod(0o700)

    def giving(self, until: str | None = None) -> None:
        self.plugin(GIVES.format(log=str(self.log), until=until))

    def kubeconfig(self, server: str = "https://api", version: str = "v1", command: str = "./plugin", **cluster: Any) -> str:
        env = [{"name": "PREFIX", "value": "token"}]
        user = {"exec": {"apiVersion": f"client.authentication.k8s.io/{version}", "command": command, "env": env}}
        user["exec"] |= {"interactiveMode": "Never", "provideClusterInfo": True, "installHint": "get it from the cloud"}
        said = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "jobs"}}],
            "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
            "users": [{"name": "u", "user": user}],
        }
        path = self.path / "kubeconfig"
        path.write_text(json.dumps(said))
        return str(path)

    def auth(self, **how: Any) -> PluginAuth:
        config = KubeConfig.from_file(self.kubeconfig(**how)).get()
        assert config is not None and config.user is not None and config.user.exec is not None
        return PluginAuth(config.user.exec, config)

    @property
    def started(self) -> int:
        return self.log.stat().st_size


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def asked(auth: PluginAuth, *, at_once: int = 1, times: int = 1, refuses: tuple[str, ...] = ()) -> Counter[str]:
    """The tokens that an API saw."""
    seen: Counter[str] = Counter()

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen[request.headers["authorization"]] += 1
        return httpx2.Response(401 if request.headers["authorization"] in refuses else 200, json={})

    async def main() -> None:
        async with httpx2.AsyncClient(auth=auth, base_url="https://api", transport=httpx2.MockTransport(answer)) as client:
            api = Api(client, "jobs")
            for _ in range(times):
                await asyncio.gather(*(api.get(JOBS) for _ in range(at_once)))

    asyncio.run(main())
    return seen


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha1"])
def test_a_plug_in_of_any_version_is_asked_once_for_all_requests(place: Place, version: str) -> None:
    place.giving()
    assert asked(place.auth(version=version), at_once=5, times=2) == {"Bearer token-1": 10}
    assert place.started == 1


def test_a_token_that_is_refused_or_over_is_replaced(place: Place) -> None:
    place.giving("2099-01-01T00:00:00Z")
    assert asked(place.auth(), times=2, refuses=("Bearer token-1",)) == {"Bearer token-1": 1, "Bearer token-2": 2}
    place.giving("2020-01-01T00:00:00Z")
    assert asked(place.auth(), times=2) == {"Bearer token-3": 1, "Bearer token-4": 1}


TROUBLE = [
    ("sys.exit('please log in')", {}, "exit code 1: please log in"),
    ("print('hello')", {}, "is no ExecCredential"),
    ("print(json.dumps({'status': {'clientCertificateData': 'x'}}))", {}, "it gave no token"),
    ("", {"command": "no-such-plugin"}, "not installed here. get it from the cloud"),
    ("", {"version": "v7"}, "it speaks client.authentication.k8s.io/v7; known are"),
]


@pytest.mark.parametrize(("body", "how", "words"), TROUBLE)
def test_a_plug_in_that_does_not_help_is_told_with_its_name_and_reason(
    place: Place, body: str, how: dict[str, str], words: str
) -> None:
    place.plugin(body)
    with pytest.raises(Unavailable, match=f"exec plug-in '{how.get('command', './plugin')}' failed: .*{words}"):
        asked(place.auth(**how))


def test_a_plug_in_that_hangs_has_its_time_even_where_another_program_of_it_holds_on(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin, "PATIENCE", 1.0)
    place.plugin("import subprocess; subprocess.run(['sleep', '600'])")

    async def main() -> None:
        async with asyncio.timeout(60):
            await anext(place.auth().async_auth_flow(httpx2.Request("GET", "https://api")))

    with pytest.raises(ConfigError, match="it said nothing within 1 s"):
        asyncio.run(main())


def test_a_real_cluster_takes_the_token_of_a_plug_in(cluster: Cluster, place: Place) -> None:
    real = KubeConfig.from_file(cluster.kubeconfig).get()
    assert real is not None
    place.plugin(f"print(json.dumps({{'status': {{'token': {cluster.token('default')!r}}}}}))")
    authority = {name: value for name, value in (
        ("certificate-authority-data", real.cluster.certificate_auth_data),
        ("certificate-authority", real.cluster.certificate_auth and str(real.abs_file(real.cluster.certificate_auth))),
        ("insecure-skip-tls-verify", real.cluster.insecure or None),
    ) if value}  # fmt: skip
    path = place.kubeconfig(real.cluster.server, **authority)

    async def who() -> dict[str, Any]:
        api = connect(KubernetesSettings(kubeconfig=path, namespace=cluster.namespace))
        asked_for = {"verb": "list", "resource": "pods", "namespace": cluster.namespace}
        review: dict[str, Any] = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
        review |= {"spec": {"resourceAttributes": asked_for}}
        try:
            return await api.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
        finally:
            await api.close()

    assert asyncio.run(who())["status"]["allowed"] is False  # it knows who that is, and that account has no rights
    assert place.started == 1
