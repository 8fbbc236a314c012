"""The samples do what they say, compared with a plain loop where there is something to compute."""

from __future__ import annotations

import ast
import os
import sysconfig
from html.parser import HTMLParser
from typing import Any

import pytest

PACKAGES = ["json", "email", "wsgiref", "this", "dataclasses", "sqlite3"]
FILES = ("hello", "catalog_integration", "stdlib_index")


def stdlib_files(tests: bool) -> list[str]:
    """Every source file of the standard library, by a walk of its own."""
    root = sysconfig.get_path("stdlib")
    left_out = {"site-packages", "dist-packages", "__pycache__"} | (set() if tests else {"test", "tests", "idle_test"})
    return [
        os.path.join(directory, name)
        for directory, _, names in os.walk(root)
        if left_out.isdisjoint(os.path.relpath(directory, root).split(os.sep))
        for name in names
        if name.endswith(".py")
    ]


def plain_loop(paths: list[str]) -> dict[str, int]:
    totals = dict.fromkeys(("files", "lines", "bytes", "functions", "classes", "imports"), 0)
    for path in paths:
        with open(path, "rb") as file:
            source = file.read()
        totals["files"] += 1
        totals["lines"] += len(source.splitlines())
        totals["bytes"] += os.path.getsize(path)
        for node in ast.walk(ast.parse(source)):
            totals["functions"] += type(node) in (ast.FunctionDef, ast.AsyncFunctionDef)
            totals["classes"] += type(node) is ast.ClassDef
            totals["imports"] += len(node.names) if type(node) is ast.Import else 0
            totals["imports"] += type(node) is ast.ImportFrom and node.level == 0
    return totals


def package_of(path: str) -> str:
    return os.path.relpath(path, sysconfig.get_path("stdlib")).split(os.sep)[0].removesuffix(".py")


@pytest.mark.parametrize("tests", [False, True])
def test_the_packages_found_hold_every_file_of_the_standard_library_once(tests: bool) -> None:
    from examples.stdlib_index import files_of

    expected = stdlib_files(tests)
    packages = {package_of(path) for path in expected}
    found = [path for package in packages for path in files_of(package, tests)]
    assert sorted(found) == sorted(expected)
    assert len(found) > 500


def test_the_index_of_the_standard_library_equals_a_plain_loop(klassd: Any) -> None:
    done = klassd.json("run", "examples.stdlib_index:app", "stdlib-index", f"only={PACKAGES}".replace("'", '"'))
    output = done["output"]
    report = output.pop("report")
    expected = plain_loop([path for path in stdlib_files(tests=False) if package_of(path) in PACKAGES])
    assert output == {"packages": len(PACKAGES), **expected}

    target = klassd("artifacts", "last", "report.html", "--to", "out/index.html").stdout.strip()
    page = (klassd.directory / target).read_bytes()
    assert len(page) == report["size"]
    seen = Page()
    seen.feed(page.decode())
    assert [row[0] for row in seen.rows][: len(PACKAGES)] == sorted(PACKAGES, key=lambda name: -lines_of(name))
    assert seen.open == []
    assert "http" not in page.decode().replace("http-equiv", "").replace("<code>http", "")  # self-contained


def lines_of(package: str) -> int:
    return plain_loop([path for path in stdlib_files(tests=False) if package_of(path) == package])["lines"]


class Page(HTMLParser):
    """Rows of the tables, and whether every element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "input"):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag == "tr" and not any(self.rows[-1]):
            self.rows.pop()

    def handle_data(self, data: str) -> None:
        if "td" in self.open:
            self.rows[-1].append(data.strip())


def test_the_catalog_shows_every_kind_of_end(klassd: Any) -> None:
    run = klassd.json("run", "examples.catalog_integration:app", "catalog-integration")
    ends = {name: node["status"] for name, node in run["nodes"].items()}
    assert ends == {
        "markets": "succeeded",
        "data-proxy": "succeeded",
        "integration": "succeeded",
        "publish": "succeeded",
        "finalizer": "succeeded",
        "notify": "succeeded",
        "rollback": "omitted",
        "newsletter": "failed",
        "page-ops": "succeeded",
    }
    assert run["status"] == "succeeded"
    assert run["nodes"]["publish"]["attempts"] == 2
    assert run["nodes"]["publish"]["executions"][0]["error"].endswith("the catalogue answered 503: busy")
    sold = run["nodes"]["integration"]["output"]
    assert [each["market"] for each in sold] == ["dk", "se", "no"]
    assert run["output"] == {"markets": 3, "revenue": sum(each["revenue"] for each in sold)}
    (artifact,) = klassd.json("artifacts")["artifacts"]
    assert (artifact["name"], artifact["node"]) == ("dataset.jsonl", "data-proxy")
    with open(artifact["path"], "rb") as file:
        assert len(file.readlines()) == 40
    assert klassd("artifacts", "--to", "-").stdout.count("\n") == 40


@pytest.mark.parametrize("name", FILES)
def test_each_sample_says_what_it_shows_and_the_command_that_runs_it(name: str) -> None:
    with open(f"examples/{name}.py") as file:
        said = ast.get_docstring(ast.parse(file.read()))
    assert said is not None
    assert f"klassd run examples.{name}:app " in said
