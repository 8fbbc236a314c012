"""Real work on real input: index Python's own standard library.

Finds its packages, parses each in a process of its own (some two hundred, as many at once as the machine has room for),
gathers what was found and writes an HTML report as an artifact.

    klassd run examples.stdlib_index:app stdlib-index
    klassd run examples.stdlib_index:app stdlib-index tests=true        # its test suites too
    klassd artifacts last report.html --to stdlib-index.html            # then open it in a browser
"""

from __future__ import annotations

import ast
import os
import platform
import sysconfig
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from examples.stdlib_report import render
from klassd.workflows import App, Artifact, Job, JobContext, Workflow

NOT_STDLIB = {"site-packages", "dist-packages", "__pycache__"}
TESTS = {"test", "tests", "idle_test"}


@dataclass
class Found:
    packages: list[str]


@dataclass
class Facts:
    """What is known of one package, or of a module that is a package by itself."""

    package: str
    files: int = 0
    lines: int = 0
    bytes: int = 0
    functions: int = 0
    classes: int = 0
    imports: dict[str, int] = field(default_factory=dict)  # top-level module -> import statements that name it
    unreadable: list[str] = field(default_factory=list)  # not Python of this version: the test suites hold some


@dataclass
class Totals:
    packages: int
    files: int
    lines: int
    bytes: int
    functions: int
    classes: int
    imports: int
    report: Artifact[str]


class FindPackages(Job):
    """Lists the packages and modules of the standard library, the large ones first."""

    tests: bool = False  # the test suites too
    only: list[str] = field(default_factory=list)  # just these packages; empty: all

    def run(self, ctx: JobContext) -> Found:
        root = sysconfig.get_path("stdlib")
        sizes = {}
        for name in sorted(os.listdir(root)):
            package = name.removesuffix(".py")
            if package != name or os.path.isdir(os.path.join(root, name)):
                sizes[package] = sum(map(os.path.getsize, files_of(package, self.tests)))
        packages = [name for name in sizes if sizes[name] and (not self.only or name in self.only)]
        ctx.log(f"{len(packages)} packages in {root}")
        return Found(packages=sorted(packages, key=lambda name: -sizes[name]))


class IndexPackage(Job):
    """Parses one package."""

    package: str
    tests: bool = False

    def run(self, ctx: JobContext) -> Facts:
        facts, imports = Facts(package=self.package), Counter[str]()
        for path in ctx.track(list(files_of(self.package, self.tests))):
            with open(path, "rb") as file:
                source = file.read()
            facts.files += 1
            facts.bytes += len(source)
            facts.lines += len(source.splitlines())
            try:
                tree = ast.parse(source)
            except (SyntaxError, ValueError) as error:
                facts.unreadable.append(os.path.basename(path))
                ctx.log(f"{os.path.basename(path)} is left out: {error}", level="WARNING")
                continue
            for node in ast.walk(tree):
                facts.functions += isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                facts.classes += isinstance(node, ast.ClassDef)
                imports.update(imported(node))
        facts.imports = dict(sorted(imports.items()))
        return facts


class Report(Job):
    """Adds everything up and writes the page."""

    results: list[Facts]

    def run(self, ctx: JobContext) -> Totals:
        imports = sum((Counter(each.imports) for each in self.results), Counter[str]())
        totals = {
            name: sum(getattr(each, name) for each in self.results)
            for name in ("files", "lines", "bytes", "functions", "classes")
        }
        page = render(self.results, totals, imports.most_common(24), f"Python {platform.python_version()}")
        report = ctx.artifacts.save("report.html", page, media_type="text/html; charset=utf-8")
        ctx.log(f"{totals['files']} files, {totals['lines']} lines; the report has {report.size} bytes")
        return Totals(packages=len(self.results), **totals, imports=imports.total(), report=report)


def files_of(package: str, tests: bool) -> Iterator[str]:
    """The source files of a package, sorted; of a module its one file."""
    path = os.path.join(sysconfig.get_path("stdlib"), package)
    if os.path.isfile(f"{path}.py"):
        yield f"{path}.py"
    left_out = NOT_STDLIB if tests else NOT_STDLIB | TESTS
    for directory, below, names in os.walk(path) if package not in left_out else ():
        below[:] = sorted(set(below) - left_out)
        yield from (os.path.join(directory, name) for name in sorted(names) if name.endswith(".py"))


def imported(node: ast.AST) -> list[str]:
    """Top-level modules that an import statement names; relative imports stay inside their package."""
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        return [node.module.partition(".")[0]]
    return []


wf = Workflow("stdlib-index")
tests = wf.param("tests", bool, default=False)
only = wf.param("only", list[str], default=[])
found = wf.add("find", FindPackages(tests=tests, only=only))
facts = wf.map("index", lambda package: IndexPackage(package=package, tests=tests), over=found.output.packages)
totals = wf.add("report", Report(results=facts.output))
wf.returns(totals.output)

app = App(jobs=[wf])
