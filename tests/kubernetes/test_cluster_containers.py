"""Images as jobs and nodes on a real cluster. Any image would do; the one there is has a shell, and klassd is not asked for."""

from __future__ import annotations

from typing import Any

import pytest
from cluster_help import Cluster
from cluster_runs import Runs

from klassd.workflows import Container, FileOutput, Pod, Workflow
from klassd.workflows.frames import encode
from klassd.workflows.pods import EmptyDir, InitContainer

SH = ("/bin/sh", "-c")
SLEEP = 'python3 -c "import time; time.sleep(100)"'  # the image has little besides
NAME = {"name": FileOutput("/out/name", format="text")}


def lines(runs: Runs, execution_id: str) -> list[str]:
    return [line.text for line in runs.ask(lambda client: client.log(execution_id))]


def container(cluster: Cluster, script: str, **options: Any) -> Container:
    return Container(cluster.image, **{"key": "tool", "command": SH, "args": [script], **options})


def test_an_image_is_a_job_its_exit_code_the_outcome_and_its_output_the_console(runs: Runs, cluster: Cluster) -> None:
    runs.start()
    said = encode("-", 0, "end", 0, b'{"result":"failure"}').decode().strip()  # no frame, whatever it looks like
    long = "python3 -c 'print(\"a\" * 40000)'"  # in three parts, each with a time of its own
    end = f"""echo '{{"result":"failure"}}' > /dev/termination-log; echo '{said}'; printf unfinished"""
    script = f"""echo "$MODE $1"; {long}; {end}"""
    given = Container(cluster.image, key="tool", command=[*SH, script, "0"], args=["$(MODE)"], env={"MODE": "$(HOME) $x"})
    view = runs.finished(runs.enqueue(given))
    (execution,) = view.nodes[0].executions
    assert (view.run.status, view.run.name, view.run.output) == ("succeeded", "tool", {}), view.run.error
    assert lines(runs, execution.id) == ["$(HOME) $x $(MODE)", "a" * 40_000, said, "unfinished"]
    assert execution.exit_code == 0 and execution.started_at and execution.finished_at
    assert [each["name"] for each in cluster.pods(execution.id)[0]["spec"]["containers"]] == ["worker"]


def test_an_exit_code_other_than_0_fails_it(runs: Runs, cluster: Cluster) -> None:
    runs.start()
    view = runs.finished(runs.enqueue(container(cluster, "echo bad >&2; exit 3")))
    (execution,) = view.nodes[0].executions
    assert (execution.cause, execution.error, execution.exit_code) == ("exit", "exit code 3", 3)
    assert lines(runs, execution.id) == ["bad"]


def test_it_is_stopped_and_says_its_last_words(runs: Runs, cluster: Cluster) -> None:
    runs.start()
    script = f"trap 'echo woken; exit 0' TERM; echo sleeping; {SLEEP} & wait"
    run_id = runs.enqueue(container(cluster, script, outputs={"rows": FileOutput("/out/rows")}))
    runs.until(run_id, lambda view: view.nodes[0].executions and lines(runs, view.nodes[0].executions[0].id) == ["sleeping"])
    runs.ask(lambda client: client.cancel(run_id))
    view = runs.finished(run_id)
    assert view.run.status == "cancelled"
    said = lines(runs, view.nodes[0].executions[0].id)
    assert said in (["sleeping", "woken"], ["sleeping"])  # Kubernetes may remove a stopped pod before its last line is read


def test_it_may_run_no_longer_than_its_timeout(runs: Runs, cluster: Cluster) -> None:
    runs.start()
    view = runs.finished(runs.enqueue(container(cluster, f"echo sleeping; exec {SLEEP}", timeout=2, grace=1)))
    (execution,) = view.nodes[0].executions
    assert execution.cause == "deadline" and "ran longer than its timeout" in str(execution.error)


def test_files_it_leaves_are_outputs_and_may_be_fanned_out_over(runs: Runs, cluster: Cluster) -> None:
    runs.start()
    flow = Workflow("images")
    script = "echo '[1, 2]' > /out/rows.json; echo 'a name' > /tmp/name/text"
    outputs = {
        "rows": FileOutput("/out/rows.json"),
        "name": FileOutput("/tmp/name/text", format="text"),
        "none": FileOutput("/out/none.json", default=[7]),
    }
    first = flow.add("first", container(cluster, script, outputs=outputs))

    def double(row: Any) -> Container:
        script = "echo $(($1 + $1)) > /out/twice"
        command, files = [*SH, script, "0"], {"twice": FileOutput("/out/twice", default=0)}
        return Container(cluster.image, key="double", command=command, args=[row], outputs=files)

    each = flow.map("each", double, over=first.outputs("rows"), max_parallel=1)
    flow.map("default", lambda row: container(cluster, "test $ROW = 7", env={"ROW": row}), over=first.output["none"])
    flow.returns([first.output, each.outputs("twice")])
    view = runs.finished(runs.enqueue(flow))
    assert view.run.status == "succeeded", view.run.error
    assert view.run.output == [{"rows": [1, 2], "name": "a name", "none": [7]}, [2, 4]]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("true", "there is no file /out/rows"),
        ("echo [ > /out/rows", "is no JSON"),
        ("""python3 -c "import os; os.symlink('/etc/passwd', '/out/rows')" """, "is a symbolic link"),
    ],
)
def test_a_file_that_is_no_output_fails_it(runs: Runs, cluster: Cluster, script: str, said: str) -> None:
    runs.start()
    view = runs.finished(runs.enqueue(container(cluster, script, outputs={"rows": FileOutput("/out/rows")})))
    assert view.nodes[0].executions[0].cause == "output" and said in str(view.run.error)


def test_init_containers_come_before_it_and_may_keep_it_from_starting(runs: Runs, cluster: Cluster) -> None:
    runs.start()
    shared = {"volumes": {"data": EmptyDir("1Mi")}, "mounts": {"/data": "data"}}

    def fetched(code: int) -> Container:
        script = f"echo fetched > /data/in; exit {code}"
        fetch = InitContainer(name="fetch", command=SH, args=[script], mounts={"/data": "data"})
        pod = Pod(init_containers=[fetch], **shared)
        return container(cluster, "read name < /data/in; echo $name > /out/name", pod=pod, outputs=NAME)

    view = runs.finished(runs.enqueue(fetched(0)))
    assert (view.run.status, view.run.output) == ("succeeded", {"name": "fetched"}), view.run.error
    view = runs.finished(runs.enqueue(fetched(5)))
    (execution,) = view.nodes[0].executions
    assert execution.cause == "exit" and "its init container 'fetch' failed with exit code 5" in str(execution.error)
    assert lines(runs, execution.id) == []
