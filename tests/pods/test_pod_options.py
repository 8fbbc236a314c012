"""``Pod`` as people write it: in code and in klassd.toml, right and wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klassd.workflows import App, Job, JobContext, Pod, Resources, Workflow
from klassd.workflows.errors import ConfigurationError, InvalidWorkflow
from klassd.workflows.executors.kubernetes.settings import KubernetesSettings, from_settings
from klassd.workflows.job import job_info
from klassd.workflows.options import Needs
from klassd.workflows.pod_shape import ALL
from klassd.workflows.pods import (
    Claim,
    ConfigMapKey,
    ContainerSecurity,
    ContainerShape,
    EmptyDir,
    FromConfigMap,
    FromSecret,
    HostPath,
    InitContainer,
    Mount,
    PodSecurity,
    PodShape,
    SecretKey,
    SecretVolume,
    Sidecar,
    Toleration,
)
from klassd.workflows.settings import load
from klassd.workflows.stores.memory import MemoryStore
from klassd.workflows.system import SystemClock
from klassd.workflows.testing import InlineExecutor
from klassd.workflows.workflow import job_definition

NOTHING = PodShape()


@pytest.mark.parametrize(
    ("pod", "shape"),
    [
        (Pod(), NOTHING),
        (Pod(env="none"), PodShape(env={ALL: None})),
        (Pod(env={"A": None, "B": "b"}), PodShape(env={"A": None, "B": "b"})),
        (Pod(mounts={"/a": "v", "/b": None}), PodShape(mounts={"/a": Mount("v"), "/b": None})),
        (
            Pod(env_from=[FromSecret("s"), FromConfigMap("s"), FromSecret("s", prefix="P_")]),
            PodShape(
                env_from={
                    "secret/s": FromSecret("s"),
                    "config_map/s": FromConfigMap("s"),
                    "secret/P_s": FromSecret("s", prefix="P_"),
                }
            ),
        ),
        (Pod(tolerations=[Toleration("a", seconds=None)]), PodShape(tolerations={"a=:": Toleration("a")})),
        (Pod(image_pull_secrets=["r"]), PodShape(image_pull_secrets={"r": True})),
        (Pod(image_pull_secrets="none"), PodShape(image_pull_secrets={ALL: None})),
        (Pod(sidecars="none"), PodShape(sidecars={ALL: None})),
        (Pod(security="none"), PodShape(security=ContainerSecurity(clear=True))),
        (Pod(patch={"spec": {}}), PodShape(patches=({"spec": {}},))),
        (Pod(patch="none"), PodShape(patches=("none",))),
        (
            Pod(init_containers=[InitContainer(name="i", args=["a"], resources="unconstrained", security="none")]),
            PodShape(
                init_containers={
                    "i": ContainerShape(
                        args=("a",), resources=Needs(unconstrained=True), security=ContainerSecurity(clear=True)
                    )
                }
            ),
        ),
    ],
)
def test_what_is_written_becomes_data(pod: Pod, shape: PodShape) -> None:
    assert pod.shape == shape


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image": "a b"}, "Pod: image is 'a b': expected an image reference such as 'registry/image:tag'"),
        ({"image": 5}, "Pod: image is 5: expected str"),
        ({"env": {"WORKERS": 8}}, "Pod: env 'WORKERS' is 8: expected str"),
        ({"env": {"A=B": "x"}}, "Pod: env has 'A=B': expected the name of a variable"),
        ({"env": {"KLASSD_ORDER": "x"}}, "Pod: env has 'KLASSD_ORDER': KLASSD_* is the worker's, but for KLASSD_JOB_*"),
        ({"env": {"A": "\0"}}, "Pod: env 'A' is '\\x00': a variable cannot hold a zero byte"),
        ({"env": {"A": SecretKey("Db", "k")}}, "Pod: the name in env 'A' is 'Db': expected the name of a Kubernetes object"),
        ({"env": {"A": ConfigMapKey("db", "a/b")}}, "Pod: the key in env 'A' is 'a/b': expected a key"),
        ({"env": ["A=b"]}, "Pod: env is ['A=b']: expected"),
        ({"env_from": [FromSecret("Db")]}, "Pod: the name in env_from[0] is 'Db'"),
        ({"env_from": [FromSecret("db", prefix="a=")]}, "Pod: the prefix in env_from[0] is 'a='"),
        ({"volumes": {"A": EmptyDir()}}, "Pod: a name in volumes is 'A': expected at most 63 of a-z, 0-9 and '-'"),
        (
            {"volumes": {"klassd-order": EmptyDir()}},
            "Pod: volumes has 'klassd-order': that is where the worker finds its order",
        ),
        ({"volumes": {"a": EmptyDir("big")}}, "Pod: the size in volumes 'a' is 'big': expected a size such as '512Mi'"),
        ({"volumes": {"a": EmptyDir(1)}}, "Pod: volumes 'a' is EmptyDir(size=1, medium=None): size expected str"),  # type: ignore[arg-type]
        ({"volumes": {"a": Claim("A")}}, "Pod: the name in volumes 'a' is 'A'"),
        ({"volumes": {"a": SecretVolume("A")}}, "Pod: the name in volumes 'a' is 'A'"),
        ({"volumes": {"a": HostPath("etc")}}, "Pod: the path in volumes 'a' is 'etc': expected an absolute path"),
        ({"mounts": {"cache": "a"}}, "Pod: a path in mounts is 'cache': expected an absolute path without ':'"),
        ({"mounts": {"/run/klassd/x": "a"}}, "Pod: mounts has '/run/klassd/x': that is where the worker finds its order"),
        ({"mounts": {"/a": "A"}}, "Pod: the volume in mounts '/a' is 'A'"),
        ({"init_containers": [InitContainer(name="worker")]}, "Pod: init_containers 'worker': the name is taken"),
        ({"sidecars": [Sidecar(name="a"), Sidecar(name="a")]}, "Pod: sidecars 'a': the name is taken"),
        ({"sidecars": [Sidecar(name="a", image="")]}, "Pod: sidecars 'a': image is ''"),
        ({"sidecars": [Sidecar(name="a", env={"": "x"})]}, "Pod: sidecars 'a': env has ''"),
        ({"labels": {"klassd.dev/run": "x"}}, "Pod: labels has 'klassd.dev/run': klassd.dev is ours"),
        ({"labels": {"a/b/c": "x"}}, "Pod: labels has 'a/b/c': expected a name such as 'team' or 'example.org/team'"),
        ({"labels": {"team": "a b"}}, "Pod: labels 'team' is 'a b': expected at most 63 letters"),
        ({"annotations": {"a b": "x"}}, "Pod: annotations has 'a b'"),
        ({"node_selector": {"disk": "s s d"}}, "Pod: node_selector 'disk' is 's s d'"),
        ({"tolerations": [Toleration(value="x")]}, "Pod: tolerations[0] has the value 'x' and no key"),
        ({"tolerations": [Toleration("a", seconds=5)]}, "Pod: tolerations[0] has seconds=5 and effect=None"),
        ({"affinity": {"nodes": {}}}, "Pod: affinity has 'nodes': expected nodeAffinity, podAffinity, podAntiAffinity"),
        ({"pod_security": PodSecurity(fs_group=-1)}, "Pod: pod_security has the user or group -1: expected a number from 0"),
        ({"pod_security": PodSecurity(supplemental_groups=(1, 2**31))}, "has the user or group 2147483648"),
        ({"security": ContainerSecurity(seccomp="/etc/x")}, "Pod: security: seccomp is '/etc/x': expected a relative path"),
        ({"env": {"..": "x"}}, "Pod: env has '..': expected the name of a variable"),
        ({"volumes": {"a": SecretVolume("a", items={".": "x"})}}, "Pod: a key in volumes 'a' is '.': expected a key"),
        ({"volumes": {"a": SecretVolume("a", items={"x": "a/../b"})}}, "Pod: the path of 'x' in volumes 'a' is 'a/../b'"),
        (
            {"mounts": {"/a": Mount("a", sub_path="../b")}},
            "Pod: the sub_path in mounts '/a' is '../b': expected a relative path",
        ),
        ({"tolerations": [Toleration("a b")]}, "Pod: tolerations[0] has the key 'a b': expected that of a taint"),
        ({"tolerations": [Toleration("a", "b/c")]}, "Pod: the value in tolerations[0] is 'b/c': expected at most 63 letters"),
        ({"security": ContainerSecurity(run_as_user="root")}, "run_as_user invalid enum value 'root'"),  # type: ignore[arg-type]
        ({"service_account": "A"}, "Pod: service_account is 'A'"),
        ({"image_pull_policy": "always"}, "Pod: image_pull_policy is 'always': "),
        ({"image_pull_secrets": ["A"]}, "Pod: image_pull_secrets[0] is 'A'"),
        ({"host_network": "yes"}, "Pod: host_network is 'yes': expected bool"),
        ({"patch": {"containers": []}}, "Pod: patch has 'containers': expected 'metadata' and 'spec', as a pod has them"),
    ],
)
def test_a_wrong_pod_is_refused_with_field_value_and_rule(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Pod(**options)
    assert message in str(caught.value)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Pod(image="", env={"A": 1, "B": 2}, patch={"x": 1})  # type: ignore[dict-item]
    assert all(part in str(caught.value) for part in ("image", "'A'", "'B'", "patch"))


@given(st.text(max_size=8), st.text(max_size=8))
def test_any_text_is_a_name_or_refused_in_words(name: str, value: str) -> None:
    for field in ("env", "labels", "annotations", "node_selector", "mounts"):
        try:
            options: dict[str, Any] = {field: {name: value}}
            Pod(**options)
        except ConfigurationError as error:
            assert str(error).startswith("Pod: ")


# -- where it may stand ---------------------------------------------------------------------------------------------


class Report(Job, pod=Pod(image="report:1", env={"A": "job", "B": "job"}), resources=Resources(cpu="1", memory="1Gi")):
    def run(self, ctx: JobContext) -> str:
        return "done"


class Plain(Job):
    def run(self, ctx: JobContext) -> None: ...


def test_a_node_keeps_what_its_job_and_it_say_together() -> None:
    wf = Workflow("flow")
    wf.add("report", Report(), pod=Pod(env={"B": "node"}), resources=Resources(memory="2Gi"))
    wf.add("plain", Plain())
    report, plain = wf.definition().nodes
    assert report.pod == PodShape(image="report:1", env={"A": "job", "B": "node"})
    assert report.options.resources == Needs(cpu="1", memory="2Gi")
    assert plain.pod is None and b'"pod"' not in wf.definition().encoded().partition(b'"plain"')[2]


def test_a_job_enqueued_alone_has_the_pods_of_its_class() -> None:
    assert job_definition(job_info(Report)).nodes[0].pod == PodShape(image="report:1", env={"A": "job", "B": "job"})


def test_a_wrong_pod_of_a_node_is_among_the_problems_of_its_workflow() -> None:
    wf = Workflow("flow")
    wf.add("report", Report(), pod="large")  # type: ignore[call-overload]
    with pytest.raises(InvalidWorkflow, match=r"options: pod is 'large': expected Pod\(image=\.\.\."):
        wf.definition()


def test_the_executor_gets_what_job_and_configuration_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "klassd.toml").write_text(f'[resources."{__name__}:Report"]\nmemory = "/4Gi"\n')
    monkeypatch.chdir(tmp_path)
    executor = InlineExecutor(SystemClock())
    app = App(jobs=[Report, Plain], executor=executor)

    async def main() -> None:
        store = MemoryStore()
        await store.open()
        async with app.client(store) as client, app.scheduler(store):
            for run in await client.enqueue_many([Report(), Plain()]):
                await client.wait(run)

    asyncio.run(main())
    found = {execution.order.job.rpartition(":")[2]: execution.order for execution in executor.executions.values()}
    resources = Needs(cpu="1", memory="1Gi/4Gi")
    assert found["Report"].pod == PodShape(image="report:1", env={"A": "job", "B": "job"}, resources=resources)
    assert found["Plain"].pod is None
    assert b"report:1" not in found["Report"].encoded()


def test_a_pod_may_stand_in_the_configuration_of_the_executor(tmp_path: Path) -> None:
    (tmp_path / "klassd.toml").write_text("""
image = "shop:1"
[kubernetes]
active_deadline = "2h"
allow = ["host_path"]
resources = {cpu = "1", memory = "1Gi"}
[kubernetes.pod]
service_account = "jobs"
env = {MODE = "fast", TOKEN = {type = "secret", name = "db", key = "password"}}
volumes = {cache = {type = "empty_dir", size = "1Gi"}}
mounts = {"/cache" = "cache"}
tolerations = [{key = "jobs"}]
[[kubernetes.pod.init_containers]]
name = "fetch"
args = ["now"]
""")
    settings = from_settings(load({}, {"KLASSD_KUBERNETES_CONTEXT": "kind", "KLASSD_NAMESPACE": "jobs"}, str(tmp_path)))
    assert (settings.namespace, settings.context, settings.active_seconds, settings.allow) == (
        "jobs",
        "kind",
        7200.0,
        ("host_path",),
    )
    assert settings.shape == PodShape(
        image="shop:1",
        resources=Needs(cpu="1", memory="1Gi"),
        service_account="jobs",
        env={"MODE": "fast", "TOKEN": SecretKey("db", "password")},
        volumes={"cache": EmptyDir("1Gi")},
        mounts={"/cache": Mount("cache")},
        tolerations={"jobs=:": Toleration("jobs")},
        init_containers={"fetch": ContainerShape(args=("now",))},
    )


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"imagge": "x"}, "unknown field `imagge`"),
        ({"pod": {"imagge": "x"}}, r"unknown field `imagge` - at `\$.pod`"),
        ({"pod": {"tolerations": [{"kye": "x"}]}}, r"unknown field `kye` - at `\$.pod.tolerations\[0\]`"),
        ({"pod": {"image": "a b"}}, "Pod: image is 'a b'"),
        ({"allow": ["everything"]}, "'everything'"),
        ({"active_deadline": "soon"}, "active_deadline is 'soon'"),
        ({"start_deadline": "-1"}, "start_deadline is '-1'"),
    ],
)
def test_a_wrong_table_is_refused_with_its_place(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        from_settings(load({"kubernetes": table}, {}))


def test_the_executors_settings_say_nothing_of_pods_by_default() -> None:
    assert KubernetesSettings().shape == NOTHING
