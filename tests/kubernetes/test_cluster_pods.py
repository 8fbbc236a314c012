"""What a pod is made of, on a real cluster: init containers, volumes that containers share, variables from elsewhere."""

from __future__ import annotations

from cluster_help import Cluster
from outcomes import came_to, ours, told

from klassd.workflows import Pod
from klassd.workflows.model.states import Cause, ExecutionStatus
from klassd.workflows.pods import ConfigMapKey, EmptyDir, FromConfigMap, FromSecret, InitContainer, SecretKey


def test_a_failing_init_container_keeps_the_job_from_starting_and_is_named(cluster: Cluster) -> None:
    gate = InitContainer(name="gate", command=["sh", "-c", "exit 3"])
    heard = told(cluster, ours("Steps", pod=Pod(init_containers=[gate])))
    found = came_to(heard)
    assert (found.cause, found.exit_code) == (Cause.EXIT, 3)
    assert found.message == "its init container 'gate' failed with exit code 3 (Error)"
    assert heard.started == 0 and not heard.lines


def test_init_containers_and_job_share_a_directory_and_run_in_order(cluster: Cluster) -> None:
    pod = Pod(
        volumes={"shared": EmptyDir("16Mi")},
        mounts={"/shared": "shared"},
        init_containers=[
            InitContainer(name=f"step-{number}", command=["sh", "-c", script], mounts={"/shared": "shared"})
            for number, script in enumerate(['echo "for $KLASSD_INPUT_PATH" > /shared/text', "echo more >> /shared/text"])
        ],
    )
    heard = told(cluster, ours("Reads", {"path": "/shared/text"}, pod))
    assert came_to(heard).status is ExecutionStatus.SUCCEEDED
    assert heard.outputs == {"": "for /shared/text\nmore\n"}


def test_variables_come_from_secrets_and_config_maps_whole_and_key_by_key(cluster: Cluster) -> None:
    door, house = {"CODE": "1234", "USER": "me"}, {"COLOUR": "red", "DOORS": "2"}
    cluster.create("/api/v1/namespaces/{}/secrets", {"metadata": {"name": "door"}, "stringData": door})
    cluster.create("/api/v1/namespaces/{}/configmaps", {"metadata": {"name": "house"}, "data": house})
    pod = Pod(
        env={"CODE_AGAIN": SecretKey("door", "CODE"), "PAINT": ConfigMapKey("house", "COLOUR"), "SIGN": "$(PAINT) house"},
        env_from=[FromSecret("door", prefix="DOOR_"), FromConfigMap("house")],
    )
    expected = {"DOOR_CODE": "1234", "CODE_AGAIN": "1234", "COLOUR": "red", "DOORS": "2", "SIGN": "red house"}
    wanted = ours("Environment", {"names": list(expected)}, pod)
    assert told(cluster, wanted).outputs == {"": expected}
    assert "1234" not in str(cluster.jobs(wanted.execution_id))
