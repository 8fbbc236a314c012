"""Manifests as people and ``kubectl`` read them: YAML, in one stream or as a base for kustomize."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import yaml

_WHY = {
    "ServiceAccount": "who a pod is to the API",
    "Role": "what the scheduler asks of the API: no more, no less",
    "NetworkPolicy": "policies add up: what jobs must reach besides is one more of them",
    "PersistentVolumeClaim": "the SQLite store: every run and console; deleting it deletes them",
    "PodDisruptionBudget": "a node may be drained at any time: what runs goes on without a scheduler",
}


def stream(documents: Sequence[dict[str, Any]]) -> str:
    """For ``kubectl apply -f -``."""
    return "---\n".join(_text(each) for each in documents)


def kustomization(documents: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The files of a base for ``kubectl apply -k``, by name."""
    files = {_file_of(each): _text(each) for each in documents}
    base = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": list(files)}
    return {"kustomization.yaml": _yaml(base), **files}


def write(files: dict[str, str], directory: str) -> None:
    """Into a directory of its own. What an earlier base had and this one has not is none of its resources any more."""
    os.makedirs(directory, exist_ok=True)
    for name, text in files.items():
        with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
            file.write(text)


def _file_of(document: dict[str, Any]) -> str:
    return f"{document['kind'].lower()}-{document['metadata']['name']}.yaml"


def _text(document: dict[str, Any]) -> str:
    why = _WHY.get(document["kind"])
    return f"{f'# {why}{chr(10)}' if why else ''}{_yaml(document)}"


def _yaml(document: dict[str, Any]) -> str:
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=120)
    return text


class _Dumper(yaml.SafeDumper):
    """Writes out what stands in two places (``&id001`` is for machines), and text of several lines as it is."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _string)
