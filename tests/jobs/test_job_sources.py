"""Where jobs are found again: by source in a worker, by package for a catalog."""

from __future__ import annotations

import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from klassd.workflows import Job, job
from klassd.workflows.discovery import jobs_in
from klassd.workflows.errors import ConfigurationError, PermanentError
from klassd.workflows.job import job_info, load_job


class Findable(Job):
    def run(self, ctx: Any) -> None: ...


class Outer:
    class Inner(Job):
        def run(self, ctx: Any) -> None: ...


class Renamed(Job):
    def run(self, ctx: Any) -> None: ...


Other = Renamed
del Renamed


def local() -> type:
    class Local(Job):
        def run(self, ctx: Any) -> None: ...

    return Local


def test_a_worker_imports_a_job_by_its_source() -> None:
    assert load_job(job_info(Findable).source).cls is Findable


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (Outer.Inner, f"job 'Outer.Inner' of {__name__} stands inside a function or class"),
        (local(), "job 'local.<locals>.Local' of"),
        (Other, f"job 'Renamed' cannot be imported: {__name__} has no 'Renamed'; give it the name it is assigned to"),
    ],
)
def test_a_job_that_no_other_process_can_import_has_no_source_but_runs_here(cls: type, message: str) -> None:
    info = job_info(cls)
    assert info.build({}) is not None
    with pytest.raises(ConfigurationError) as caught:
        _ = info.source
    assert message in str(caught.value)


SCRIPT = """
from typing import Any
from klassd.workflows.job import Job, job_info
class Hello(Job):
    def run(self, ctx: Any) -> None: ...
try:
    print(job_info(Hello).key, job_info(Hello).source)
except Exception as error:
    print(type(error).__name__, error)
"""


def run_python(*arguments: str, cwd: Path) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


def test_a_job_in_a_script_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(SCRIPT)
    said = run_python("hello.py", cwd=tmp_path)
    assert said.startswith("ConfigurationError job 'Hello' stands in the script that was started")
    assert "put it in a module and import it from there, or start the script as python -m MODULE" in said


def test_a_script_started_as_a_module_is_known_by_the_modules_name(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(SCRIPT)
    assert run_python("-m", "hello", cwd=tmp_path) == "hello:Hello hello:Hello"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere.at.all:X", "job 'nowhere.at.all:X' cannot be imported: No module named 'nowhere'"),
        (f"{__name__}:Findabel", f"module {__name__} has no 'Findabel'. Did you mean 'Findable'?"),
        (f"{__name__}:Qqq", f"module {__name__} has no 'Qqq'. Its jobs: Findable, Other, work."),
        (f"{__name__}:Outer", "Outer is no job: it has no run(self, ctx)"),
    ],
)
@pytest.mark.fault("A15")
def test_a_job_that_is_gone_fails_for_good_with_what_is_missing(source: str, message: str) -> None:
    with pytest.raises(PermanentError) as caught:
        load_job(source)
    assert message in str(caught.value)


# -- a whole package ------------------------------------------------------------------------------------------------

Make = Callable[[dict[str, str]], str]
JOB = "from typing import Any\nfrom klassd.workflows import Job\nclass {0}(Job{1}):\n    def run(self, ctx: Any) -> None: ...\n"


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Writes a package of these files and gives its name."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)

    def write(files: dict[str, str]) -> str:
        for name, text in files.items():
            path = tmp_path / "shop" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            if not (path.parent / "__init__.py").exists():
                (path.parent / "__init__.py").write_text("")
        return "shop"

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_package_gives_the_jobs_of_all_its_modules_by_name(make: Make) -> None:
    package = make({
        "orders.py": JOB.format("Ship", "") + JOB.format("Bill", ""),
        "deep/__init__.py": "",
            "deep/er/mails.py": "from klassd.workflows import job\n@job\ndef mail(ctx, to: str) -> None: ...\n",
        "plain.py": "import dataclasses\n@dataclasses.dataclass\nclass Count:\n    n: int\n    def run(self, ctx): ...\n",
    })  # fmt: skip
    assert [info.source for info in jobs_in(package)] == [
        "shop.orders:Bill", "shop.plain:Count", "shop.orders:Ship", "shop.deep.er.mails:mail",
    ]  # fmt: skip


def test_what_a_module_imports_is_not_its_own(make: Make) -> None:
    package = make({"a.py": JOB.format("One", ""), "b.py": "from shop.a import One\nTwo = One\n"})
    assert [info.key for info in jobs_in(package)] == ["shop.a:One"]


def test_a_module_object_will_do(make: Make) -> None:
    make({"a.py": JOB.format("One", ""), "b.py": JOB.format("Two", "")})
    import shop.a  # type: ignore[import-not-found]

    assert [info.name for info in jobs_in(shop.a)] == ["One"]


def test_looking_for_jobs_does_not_start_a_program(make: Make) -> None:
    package = make({"__main__.py": "raise SystemExit('started')", "a.py": JOB.format("One", "")})
    assert [info.name for info in jobs_in(package)] == ["One"]


def test_two_jobs_with_one_key_are_refused_by_name(make: Make) -> None:
    package = make({"a.py": JOB.format("One", ", key='x'"), "b.py": JOB.format("Two", ", key='x'")})
    with pytest.raises(
        ConfigurationError, match=r"two jobs have the key 'x': shop.a:One and shop.b:Two; give one another key="
    ):
        jobs_in(package)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit('bye')", "SystemExit: bye"),
        ("def (", "SyntaxError"),
    ],
)
@pytest.mark.parametrize("file", ["bad.py", "inner/__init__.py"])
def test_a_module_that_cannot_be_imported_is_named_with_the_reason(make: Make, text: str, message: str, file: str) -> None:
    package = make({file: text})
    with pytest.raises(ConfigurationError) as caught:
        jobs_in(package)
    module = "shop.bad" if file == "bad.py" else "shop.inner"
    assert f"module {module} cannot be imported to look for jobs: {message}" in str(caught.value)


def test_a_job_with_a_mistake_is_named_with_its_module(make: Make) -> None:
    package = make({"a.py": "from klassd.workflows import Job\nclass Odd(Job):\n    def run(self, ctx, http): ...\n"})
    with pytest.raises(ConfigurationError, match=r"shop.a: Odd.run: parameter 'http' is a service to inject"):
        jobs_in(package)


def test_classes_that_cannot_run_are_passed_over(make: Make) -> None:
    assert jobs_in(make({"a.py": "from klassd.workflows import Job\nclass Base(Job):\n    x: int = 0\n"})) == []


def test_an_at_job_function_in_a_module_object_is_found_once() -> None:
    module = types.ModuleType(__name__)
    module.work = work  # type: ignore[attr-defined]
    assert [info.name for info in jobs_in(module)] == ["work"]


@job
def work(ctx: Any) -> None: ...
