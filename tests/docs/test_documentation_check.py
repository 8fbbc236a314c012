from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

from klassd.workflows.model.states import Cause

ROOT = Path(__file__).resolve().parents[2]


def load_check() -> ModuleType:
    sys.path.append(str(ROOT / "docs"))  # where a script's own modules are found
    spec = importlib.util.spec_from_file_location("documentation_check", ROOT / "docs" / "check.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check = load_check()


def page(root: Path, text: str) -> Path:
    (root / "docs").mkdir(exist_ok=True)
    path = root / "docs" / "page.md"
    path.write_text(text)
    return path


def problems_of(root: Path) -> list[str]:
    return [problem for problem in check.main(root) if problem.startswith("page.md")]


def test_the_documentation_of_this_project_is_true() -> None:
    assert check.main() == []


def test_the_table_of_causes_has_a_row_for_each_and_for_nothing_else() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", check.GENERATED["causes"](), re.M)
    assert sorted(rows) == sorted(Cause)


def test_a_table_that_the_code_has_outgrown_is_told_and_renewed(tmp_path: Path) -> None:
    path = page(tmp_path, "<!-- generated: states of a run -->\nold\n<!-- end -->\n")
    assert "out of date" in problems_of(tmp_path)[0]
    check.main(tmp_path, write=True)
    assert problems_of(tmp_path) == []
    assert "| `queued` | claim -> `running`" in path.read_text()


def test_links_to_missing_pages_and_headings_are_told(tmp_path: Path) -> None:
    page(tmp_path, "# One heading\n[a](#one-heading) [b](gone.md) [c](page.md#two) [d](https://example.org)\n")
    assert problems_of(tmp_path) == [
        "page.md: the link gone.md leads nowhere",
        "page.md: the link page.md#two names a heading that page.md does not have",
    ]


def test_variables_and_commands_that_do_not_exist_are_told(tmp_path: Path) -> None:
    page(tmp_path, "Set `KLASSD_STORE` or `KLASSD_STOER`.\n\n```console\n$ klassd runs\n$ klassd fly\n```\n")
    assert problems_of(tmp_path) == ["page.md: there is no variable KLASSD_STOER", "page.md: there is no command klassd fly"]


def test_a_public_name_that_no_page_speaks_of_is_told(tmp_path: Path) -> None:
    page(tmp_path, "Nothing at all.\n")
    assert "no page speaks of the public name Workflow" in check.main(tmp_path)
