"""``klassd manifest``, as it is typed."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
import yaml

from klassd.workflows.cli import main

IMAGE = ("--image", "registry.example/shop:7")


def test_it_prints_what_kubectl_takes_without_importing_the_app(klassd: Any) -> None:
    documents = list(yaml.safe_load_all(klassd("manifest", "no_such_module:app", *IMAGE).stdout))
    assert [each["kind"] for each in documents][-2:] == ["Deployment", "PodDisruptionBudget"]


def test_as_json_it_is_one_list(klassd: Any) -> None:
    found = klassd.json("manifest", "shop:app", *IMAGE)
    assert (found["apiVersion"], found["kind"]) == ("v1", "List")
    assert found["items"] == list(yaml.safe_load_all(klassd("manifest", "shop:app", *IMAGE).stdout))


def test_a_base_for_overlays_has_a_file_for_each_object(klassd: Any) -> None:
    assert klassd("manifest", "shop:app", *IMAGE, "--kustomize", "base").stdout == "base\n"
    base = klassd.directory / "base"
    listed = yaml.safe_load((base / "kustomization.yaml").read_text())["resources"]
    assert {each.name for each in base.iterdir()} == {"kustomization.yaml", *listed}
    assert "deployment-klassd.yaml" in listed


def test_the_app_of_the_configuration_here_is_the_one_in_the_image(klassd: Any) -> None:
    klassd.write("klassd.toml", 'app = "shop/main.py:app"\n')
    items = klassd.json("manifest", *IMAGE)["items"]
    assert {"name": "KLASSD_APP", "value": "shop.main:app"} in environment(items)


def test_a_configuration_goes_along_as_a_config_map_and_may_name_the_app(klassd: Any) -> None:
    klassd.write("cluster.toml", 'app = "shop:app"\nconcurrency = 4\n')
    items = klassd.json("manifest", *IMAGE, "--config", "cluster.toml", "--workdir", "/srv/")["items"]
    (config,) = [each for each in items if each["kind"] == "ConfigMap"]
    assert config["data"] == {"klassd.toml": 'app = "shop:app"\nconcurrency = 4\n'}
    assert [each for each in environment(items) if each["name"] == "KLASSD_APP"] == []
    mounts = container(items)["volumeMounts"]
    assert {"name": "config", "mountPath": "/srv/klassd.toml", "subPath": "klassd.toml", "readOnly": True} in mounts
    assert container(items)["workingDir"] == "/srv"


def test_without_the_extra_it_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "klassd.workflows.deploy.writing", raising=False)
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert main(["manifest", "shop:app", *IMAGE]) == 2
    assert "needs yaml, which is not installed\n  pip install 'klassd-workflows[kubernetes]'" in capsys.readouterr().err


def container(items: list[dict[str, Any]]) -> dict[str, Any]:
    (deployment,) = [each for each in items if each["kind"] == "Deployment"]
    found: dict[str, Any] = deployment["spec"]["template"]["spec"]["containers"][0]
    return found


def environment(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = container(items)["env"]
    return found


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["shop:app"], "the following arguments are required: --image"),
        ([*IMAGE], "no app was named"),
        (["shop:app", *IMAGE, "--name", "My Shop"], "name is 'My Shop': expected"),
        (["shop:app", *IMAGE, "--store", "sqlite:///x.db"], "a pod's own file or memory is gone with the pod"),
        (["shop:app", *IMAGE, "--config", "none.toml"], "none.toml cannot be read: No such file or directory"),
        (["shop:app", *IMAGE, "--config", "broken.toml"], "broken.toml is not valid TOML"),
        (["shop:app", *IMAGE, "--kustomize", "broken.toml"], "broken.toml cannot be written"),
    ],
)
def test_a_mistake_is_told(
    words: list[str], said: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.toml").write_text("=\n")
    assert main(["manifest", *words, "--json"]) == 2
    captured = capsys.readouterr()
    assert said in captured.err and said in json.loads(captured.out)["error"]
