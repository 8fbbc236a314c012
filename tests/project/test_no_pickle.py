"""What is stored or received is JSON or plain bytes: nothing that runs code when it is read."""

import ast
from pathlib import Path

import pytest

import klassd.workflows

SOURCES = sorted(Path(klassd.workflows.__path__[0]).rglob("*.py"))
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "jsonpickle"}
CALLS = {"eval", "exec"}
WRITERS = {"yaml"}  # may be imported whole, to write with: what they read may run code


def found_in(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.partition(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in MODULES | WRITERS:
            found.append(str(node.module))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
            found.append(node.func.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in WRITERS:
            found += [f"{node.value.id}.{node.attr}"] if "load" in node.attr.lower() else []
    return found


@pytest.mark.fault("H13")
def test_no_module_reads_what_could_run_code() -> None:
    assert len(SOURCES) > 100
    assert {str(path): names for path in SOURCES if (names := found_in(path.read_text()))} == {}


@pytest.mark.parametrize(
    "source",
    ["import pickle", "from yaml import load", "import yaml\nyaml.unsafe_load(text)", "def f(x):\n    return eval(x)"],
)
def test_one_that_did_would_be_seen(source: str) -> None:
    assert found_in(source)
