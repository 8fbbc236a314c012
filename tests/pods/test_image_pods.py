"""Pods of executions that are images."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pod_help import job, rendered, spec, template, variables, worker
from pod_security_standard import violations
from pod_shapes import careful_pods

from klassd.workflows.errors import LaunchRefused
from klassd.workflows.executors.kubernetes.parts import literal
from klassd.workflows.order import ContainerSpec, FileSpec
from klassd.workflows.pods import ContainerSecurity, EmptyDir, InitContainer, Pod, Sidecar

FILES = {"rows": FileSpec("/out/rows.json"), "more": FileSpec("/out/more"), "tmp": FileSpec("/tmp/x", default=1)}
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)


def image(outputs: dict[str, FileSpec] | None = None, pod: Pod | None = None, **fields: Any) -> dict[str, Any]:
    inputs = fields.pop("inputs", {"args": ["$(A)", 3], "env": {"A": "$x", "N": None, "D": {"k": 1}}})
    container = ContainerSpec("tools/importer:3", ("sh", "-c"), outputs or {})
    return {"pod": pod, "container": container, "inputs": inputs, "job": "importer", **fields}


def test_alone_it_is_the_one_container_and_nothing_of_ours_is_there() -> None:
    pod = spec(**image(), settings={"image": None})
    (only,) = pod["containers"]
    assert (only["name"], only["image"], only["command"], only["args"]) == (
        "worker", "tools/importer:3", ["sh", "-c"], ["$$(A)", "3"]
    )  # fmt: skip
    assert variables(only) == {"HOME": "/tmp", "A": "$$x", "D": '{"k":1}'}
    assert "initContainers" not in pod and "KLASSD" not in str(pod)
    assert not rendered(**image()).objects


def test_with_files_it_is_the_last_init_container_and_ours_reads_them() -> None:
    fetch = InitContainer(name="fetch", command=["true"])
    pod = spec(**image(FILES, Pod(init_containers=[fetch], security=ContainerSecurity(run_as_user=7))))
    first, own = pod["initContainers"]
    (ours,) = pod["containers"]
    assert (first["name"], first["image"], own["name"], own["image"]) == (
        "fetch", "tools/importer:3", "container", "tools/importer:3"
    )  # fmt: skip
    assert (ours["name"], ours["image"], ours["command"][-1]) == ("worker", "shop:1", "collect")
    assert ours["securityContext"]["runAsUser"] == own["securityContext"]["runAsUser"] == 7
    assert "$$x" not in str(variables(ours)["KLASSD_ORDER"])  # what the image was given is not needed there


def test_both_see_the_directories_of_the_files_and_one_that_has_a_volume_keeps_it() -> None:
    pod = spec(**image(FILES, Pod(volumes={"mine": EmptyDir()}, mounts={"/out": "mine"})))
    mounts = [{each["mountPath"]: each["name"] for each in (*pod["initContainers"], *pod["containers"])[place]["volumeMounts"]}
              for place in (0, 1)]  # fmt: skip
    assert mounts[0] == {"/tmp": "tmp", "/out": "mine"} and mounts[1] == mounts[0]
    new = spec(**image({"a": FileSpec("/a/b/c"), "d": FileSpec("/a/d")}))
    assert [each["name"] for each in new["volumes"]] == ["tmp", "klassd-out-0", "klassd-out-1"]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(LaunchRefused, match="set KLASSD_IMAGE"):
        spec(**image(FILES), settings={"image": None})
    with pytest.raises(LaunchRefused, match="before a sidecar would start"):
        spec(**image(FILES, Pod(sidecars=[Sidecar(name="proxy", image="proxy:1")])))
    with pytest.raises(LaunchRefused, match="argument 1 has 200,000 bytes, at most 131,071"):
        spec(**image(inputs={"args": ["x" * 200_000], "env": {}}))
    with pytest.raises(LaunchRefused, match="600,000 bytes, at most 524,288"):
        spec(**image(inputs={"args": ["x" * 100_000] * 6, "env": {}}))


def test_its_timeout_is_for_the_executor_to_hold() -> None:
    assert job(**image(timeout=5.0))["metadata"]["annotations"]["klassd.dev/timeout"] == "5"
    assert job(**image())["metadata"]["annotations"]["klassd.dev/container"] == "alone"
    assert job(**image(FILES))["metadata"]["annotations"]["klassd.dev/container"] == "collected"


@given(st.lists(TEXT, max_size=3), st.dictionaries(st.sampled_from("AB"), TEXT, max_size=2))
def test_text_comes_as_it_is_whatever_stands_in_it(args: list[str], env: dict[str, str]) -> None:
    own = worker(**image(inputs={"args": args, "env": env}))
    assert own.get("args", []) == [literal(each) for each in args]
    assert {name: variables(own)[name] for name in env} == {name: literal(text) for name, text in env.items()}


@given(careful_pods(), st.sampled_from([{}, FILES]))
def test_whatever_a_careful_pod_says_an_image_keeps_the_restricted_standard(pod: Pod, outputs: dict[str, FileSpec]) -> None:
    if pod.image is not None or (outputs and pod.sidecars):
        return
    assert not violations(template(**image(outputs, pod)))
