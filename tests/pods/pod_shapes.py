"""Shapes of pods at random: of few names, so that layers meet in the same places."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from klassd.workflows import Resources
from klassd.workflows.options import Needs
from klassd.workflows.pod_shape import ALL
from klassd.workflows.pods import (
    Claim,
    ConfigMapKey,
    ConfigMapVolume,
    ContainerSecurity,
    ContainerShape,
    EmptyDir,
    FromConfigMap,
    FromSecret,
    InitContainer,
    Mount,
    Pod,
    PodField,
    PodSecurity,
    PodShape,
    SecretKey,
    SecretVolume,
    Sidecar,
    Toleration,
)

NAMES = st.sampled_from(["a", "b", "c", "d-1"])
PATHS = st.sampled_from(["/a", "/b/c", "/var/lib/d"])
TEXTS = st.sampled_from(["", "x", "none", "$(HOME) $$", "ünï"])
VALUES = st.one_of(
    TEXTS,
    st.builds(SecretKey, NAMES, NAMES, st.booleans()),
    st.builds(ConfigMapKey, NAMES, NAMES, st.booleans()),
    st.just(PodField("status.podIP")),
)
SOURCES = st.one_of(st.builds(FromSecret, NAMES, NAMES), st.builds(FromConfigMap, NAMES, NAMES))
VOLUMES = st.one_of(
    st.builds(EmptyDir, st.none() | st.just("1Gi"), st.none() | st.just("Memory")),
    st.builds(SecretVolume, NAMES, st.dictionaries(NAMES, NAMES), st.none() | st.just(0o400), st.booleans()),
    st.builds(ConfigMapVolume, NAMES),
    st.builds(Claim, NAMES, st.booleans()),
)
TOLERATIONS = st.builds(Toleration, NAMES, st.none() | st.just("yes"), st.sampled_from([None, "NoSchedule"]))
AMOUNTS = st.sampled_from([None, "1", "none", "1/2", "/2", "1/", "none/2", "1/none"])
NEEDS = st.builds(
    Needs,
    cpu=AMOUNTS,
    memory=AMOUNTS,
    ephemeral_storage=AMOUNTS,
    extended=st.dictionaries(st.sampled_from(["x.org/gpu", "x.org/fpga"]), st.sampled_from(["1", "2", "none"])),
    unconstrained=st.booleans(),
)
USERS = st.sampled_from([None, "none", 1, 1000])
FLAGS = st.sampled_from([None, True, False])


def _said(shape: Any, **fields: Any) -> Any:
    return st.builds(shape, **{name: st.none() | each for name, each in fields.items()})


def _entries(names: Any, values: Any) -> Any:
    return st.dictionaries(names | st.just(ALL), st.none() | values, max_size=3).map(
        lambda entries: {key: None if key == ALL else value for key, value in entries.items()}
    )


POD_SECURITY = _said(PodSecurity, run_as_user=USERS, run_as_non_root=FLAGS, seccomp=st.sampled_from(["none", "RuntimeDefault"]))
SECURITY = _said(ContainerSecurity, run_as_user=USERS, privileged=FLAGS, add_capabilities=st.just(("KILL",)))
CLEARED_SECURITY = st.just(ContainerSecurity(clear=True))
CONTAINERS = st.builds(
    ContainerShape,
    image=st.none() | st.just("other:1"),
    env=_entries(NAMES, VALUES),
    mounts=_entries(PATHS, st.builds(Mount, NAMES)),
    resources=st.none() | NEEDS,
    security=st.none() | SECURITY,
)

PATCHES = st.sampled_from(["none", {"spec": {"hostname": "a"}}, {"spec": {"hostname": None}}])

# One layer of any kind, clearings included.
LAYERS = st.builds(
    PodShape,
    image=st.sampled_from([None, "none", "one:1", "two:2"]),
    resources=st.none() | NEEDS,
    env=_entries(NAMES, VALUES),
    env_from=_entries(NAMES, SOURCES),
    volumes=_entries(NAMES, VOLUMES),
    mounts=_entries(PATHS, st.builds(Mount, NAMES)),
    init_containers=_entries(NAMES, CONTAINERS),
    sidecars=_entries(NAMES, CONTAINERS),
    pod_security=st.none() | POD_SECURITY | st.just(PodSecurity(clear=True)),
    security=st.none() | SECURITY | CLEARED_SECURITY,
    labels=_entries(NAMES, NAMES),
    node_selector=_entries(NAMES, NAMES),
    tolerations=_entries(NAMES, TOLERATIONS),
    priority_class=st.sampled_from([None, "none", "high"]),
    service_account_token=FLAGS,
    host_network=FLAGS,
    image_pull_policy=st.sampled_from([None, "none", "Always"]),
    patches=st.lists(st.sampled_from(["none", {"spec": {"hostname": "a"}}, {"spec": {"hostname": None}}]), max_size=3).map(
        tuple
    ),
)


# -- what people write, without anything that gives up protection ----------------------------------------------------

_BESIDE: dict[str, Any] = {
    "image": st.none() | st.just("other:1"),
    "command": st.lists(TEXTS, max_size=2),
    "args": st.lists(TEXTS, max_size=2),
    "env": st.none() | st.dictionaries(NAMES, VALUES, max_size=2),
    "env_from": st.lists(SOURCES, max_size=2),
    "resources": st.none() | st.just("unconstrained") | st.just(Resources(cpu="1/2", memory="1Gi")),
    "security": st.none() | st.just(ContainerSecurity(run_as_user=7, add_capabilities=("NET_BIND_SERVICE",))),
}
_INIT = st.builds(InitContainer, name=st.sampled_from(["i", "j"]), **_BESIDE)
_SIDECARS = st.builds(Sidecar, name=st.sampled_from(["s", "t"]), **_BESIDE)


def _mounted(volumes: dict[str, Any]) -> Any:
    mounts = st.dictionaries(PATHS, st.sampled_from(sorted(volumes)) if volumes else st.nothing(), max_size=3)
    return st.tuples(st.just(volumes), mounts if volumes else st.just({}))


@st.composite
def careful_pods(draw: Any) -> Pod:
    """A pod of everything there is but for what opens it up."""
    volumes, mounts = draw(st.dictionaries(NAMES, VOLUMES, max_size=3).flatmap(_mounted))
    return draw(
        st.builds(
            Pod,
            image=st.none() | st.just("one:1"),
            env=st.none() | st.just("none") | st.dictionaries(NAMES, st.none() | VALUES, max_size=3),
            env_from=st.just("none") | st.lists(SOURCES, max_size=2),
            volumes=st.just(volumes),
            mounts=st.just(mounts),
            init_containers=st.lists(_INIT, max_size=2, unique_by=lambda each: each.name),
            sidecars=st.lists(_SIDECARS, max_size=2, unique_by=lambda each: each.name),
            pod_security=st.none() | st.just(PodSecurity(run_as_user=5, fs_group="none", supplemental_groups=(7,))),
            security=st.none() | st.just(ContainerSecurity(read_only_root=False, run_as_user="none", seccomp="profile.json")),
            labels=st.none() | st.dictionaries(NAMES, NAMES, max_size=2),
            annotations=st.none() | st.dictionaries(NAMES, TEXTS, max_size=2),
            node_selector=st.none() | st.dictionaries(NAMES, NAMES, max_size=2),
            tolerations=st.lists(TOLERATIONS, max_size=2),
            affinity=st.none() | st.just({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}),
            priority_class=st.none() | NAMES,
            service_account=st.none() | NAMES,
            service_account_token=FLAGS,
            image_pull_policy=st.sampled_from([None, "Always", "none"]),
            image_pull_secrets=st.lists(NAMES, max_size=2),
            host_network=st.sampled_from([None, False]),
        )
    )
