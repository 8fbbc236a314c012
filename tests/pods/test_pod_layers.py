"""Layers of a pod's shape over one another, and what is left of them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from pod_shapes import LAYERS, NEEDS

from klassd.workflows.model.workflow import Node
from klassd.workflows.options import Needs, Options
from klassd.workflows.pod_shape import ALL
from klassd.workflows.pods import ContainerSecurity, ContainerShape, EmptyDir, Mount, PodSecurity, PodShape, Toleration
from klassd.workflows.rules.pods import asked, merge, settled

SCALARS = ("image", "priority_class", "service_account", "image_pull_policy", "service_account_token", "host_network")
MAPS = ("env", "env_from", "volumes", "mounts", "init_containers", "sidecars", "labels", "node_selector", "tolerations")


@given(LAYERS)
def test_a_layer_that_says_nothing_changes_nothing(shape: PodShape) -> None:
    assert merge() == PodShape()
    assert merge(PodShape(), shape) == merge(shape, PodShape()) == merge(shape) == shape


@given(LAYERS, LAYERS, LAYERS)
def test_layers_may_be_merged_in_any_grouping(low: PodShape, middle: PodShape, high: PodShape) -> None:
    assert merge(merge(low, middle), high) == merge(low, merge(middle, high)) == merge(low, middle, high)


@given(NEEDS, NEEDS, NEEDS)
def test_so_may_resources(low: Needs, middle: Needs, high: Needs) -> None:
    assert high.over(middle).over(low) == high.over(middle.over(low))


@given(LAYERS, LAYERS)
def test_the_stronger_layer_has_the_last_word_and_the_weaker_one_what_is_left(low: PodShape, high: PodShape) -> None:
    merged = merge(low, high)
    for name in SCALARS:
        said = getattr(high, name)
        assert getattr(merged, name) == (getattr(low, name) if said is None else said)
    for name in MAPS:
        weak, strong, both = getattr(low, name), getattr(high, name), getattr(merged, name)
        assert {key: both[key] for key in strong} == strong
        assert {key: both[key] for key in both if key not in strong} == {
            key: weak[key] for key in weak if key not in strong and ALL not in strong
        }


@given(LAYERS)
def test_clearing_everything_leaves_nothing(shape: PodShape) -> None:
    nothing: dict[str, Any] = {ALL: None}
    clear = PodShape(
        **dict.fromkeys(MAPS, nothing),
        **dict.fromkeys(("image", "priority_class", "service_account", "image_pull_policy"), "none"),
        resources=Needs(unconstrained=True),
        pod_security=PodSecurity(clear=True),
        security=ContainerSecurity(clear=True),
        patches=("none",),
    )
    left = settled(merge(shape, clear))
    assert left == PodShape(
        service_account_token=shape.service_account_token,
        host_network=shape.host_network,
        resources=Needs(unconstrained=True),
        pod_security=PodSecurity(clear=True),
        security=ContainerSecurity(clear=True),
    )


@given(LAYERS)
def test_what_is_settled_stays_settled_and_holds_no_clearing(shape: PodShape) -> None:
    once = settled(shape)
    assert settled(once) == once and "none" not in once.patches
    for name in MAPS:
        assert ALL not in getattr(once, name) and None not in getattr(once, name).values()


@given(LAYERS)
def test_a_shape_is_the_same_after_it_was_stored(shape: PodShape) -> None:
    assert msgspec.json.decode(msgspec.json.encode(shape), type=PodShape) == shape


def test_a_shape_that_says_nothing_takes_no_room_in_a_snapshot() -> None:
    assert msgspec.json.encode(merge(PodShape(), PodShape())) == b"{}"


def test_an_init_container_that_is_replaced_keeps_its_place() -> None:
    first, second, other = ContainerShape(image="1"), ContainerShape(image="2"), ContainerShape(image="other")
    merged = merge(PodShape(init_containers={"a": first, "b": second}), PodShape(init_containers={"c": second, "a": other}))
    assert list(merged.init_containers.items()) == [("a", other), ("b", second), ("c", second)]


@pytest.mark.parametrize(
    ("field", "executor", "job", "node", "expected"),
    [
        ("image", "e", None, None, "e"),
        ("image", "e", "j", None, "j"),
        ("image", "e", "j", "n", "n"),
        ("image", "e", "none", None, None),
        ("env", {"A": "e", "B": "e"}, {"B": "j"}, {"C": "n"}, {"A": "e", "B": "j", "C": "n"}),
        ("env", {"A": "e", "B": "e"}, {"B": None}, {}, {"A": "e"}),
        ("env", {"A": "e"}, {ALL: None, "B": "j"}, {"C": "n"}, {"B": "j", "C": "n"}),
        ("volumes", {"v": EmptyDir("1Gi")}, {}, {"v": EmptyDir("2Gi")}, {"v": EmptyDir("2Gi")}),
        ("mounts", {"/m": Mount("e")}, {"/m": Mount("j")}, {}, {"/m": Mount("j")}),
        ("tolerations", {"t": Toleration("t")}, {}, {"u": Toleration("u")}, {"t": Toleration("t"), "u": Toleration("u")}),
        ("host_network", True, False, None, False),
        ("security", ContainerSecurity(privileged=True), None, None, ContainerSecurity(privileged=True)),
        (
            "security",
            ContainerSecurity(run_as_user=1, privileged=True),
            ContainerSecurity(run_as_user="none"),
            ContainerSecurity(read_only_root=False),
            ContainerSecurity(privileged=True, read_only_root=False),
        ),
        ("security", ContainerSecurity(privileged=True), ContainerSecurity(clear=True), None, ContainerSecurity(clear=True)),
        ("resources", Needs(cpu="1/2"), Needs(cpu="/4", memory="1Gi"), Needs(memory="none"), Needs(cpu="1/4", memory="none")),
        (
            "resources",
            Needs(cpu="1/2"),
            Needs(unconstrained=True),
            Needs(memory="1Gi"),
            Needs(memory="1Gi", unconstrained=True),
        ),
        ("resources", Needs(extended={"g": "1"}), Needs(extended={"h": "1"}), None, Needs(extended={"g": "1", "h": "1"})),
        ("patches", ({"spec": {}},), ("none", {"a": 1}), ({"b": 2},), ({"a": 1}, {"b": 2})),
    ],
)
def test_executor_is_weaker_than_job_and_job_than_node(field: str, executor: Any, job: Any, node: Any, expected: Any) -> None:
    layers = [PodShape(**{field: value}) if value is not None else PodShape() for value in (executor, job, node)]
    assert getattr(settled(merge(*layers)), field) == expected


# -- resources come from an option of their own ----------------------------------------------------------------------


def node(resources: Needs | None = None, pod: PodShape | None = None) -> Node:
    return Node(name="n", job="shop:Report", source="shop:Report", options=Options(resources=resources or Needs()), pod=pod)


def test_of_a_job_that_says_nothing_nothing_is_asked() -> None:
    assert asked(node(), {"another": Needs(cpu="1")}) is None


@pytest.mark.parametrize(
    ("in_code", "configured", "expected"),
    [
        (Needs(cpu="1"), None, Needs(cpu="1")),
        (None, Needs(cpu="2"), Needs(cpu="2")),
        (Needs(cpu="1", memory="1Gi"), Needs(cpu="2"), Needs(cpu="2", memory="1Gi")),
        (Needs(cpu="1/2"), Needs(cpu="/3"), Needs(cpu="1/3")),
        (Needs(cpu="1"), Needs(cpu="none"), Needs(cpu="none")),
        (Needs(cpu="1"), Needs(unconstrained=True), Needs(unconstrained=True)),
    ],
)
def test_configured_resources_are_stronger_than_those_in_the_code_each_by_itself(
    in_code: Needs | None, configured: Needs | None, expected: Needs
) -> None:
    found = asked(node(in_code, PodShape(image="x")), {"shop:Report": configured} if configured else {})
    assert found == PodShape(image="x", resources=expected)
