"""Whether the documentation is true: generated parts are current, links lead somewhere, names exist and are explained.

    python docs/check.py            says what is wrong
    python docs/check.py --write    renews the generated parts first

A generated part stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``. Snippets are run by ``tests/docs``.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import faults
import yaml

import klassd.workflows
from klassd.workflows import settings
from klassd.workflows.cli.arguments import COMMANDS
from klassd.workflows.executors.kubernetes import settings as kubernetes
from klassd.workflows.executors.kubernetes.manifest import render
from klassd.workflows.executors.kubernetes.rights import rules
from klassd.workflows.executors.kubernetes.settings import KubernetesSettings
from klassd.workflows.model import states
from klassd.workflows.model.states import Cause
from klassd.workflows.order import Order
from klassd.workflows.rules.lifecycle import TABLES

ROOT = Path(__file__).resolve().parent.parent
_PART = re.compile(r"(<!-- generated: ([\w -]+) -->\n).*?(<!-- end -->)", re.S)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.S | re.M)
_VARIABLE = re.compile(r"\bKLASSD_[A-Z_]+\b")
_COMMAND = re.compile(r"(?:^\$ |`)klassd ([a-z]+)", re.M)
_OTHER_VARIABLES = ("KLASSD_JOB_", "KLASSD_INPUT_", "KLASSD_TEST_", "KLASSD_CRASH_AT")  # of jobs and of our own tests


def main(root: Path = ROOT, write: bool = False) -> list[str]:
    """The problems found, a sentence each."""
    problems: list[str] = []
    pages = {path: path.read_text() for path in pages_of(root)}
    for path, text in pages.items():
        current = renewed(text)
        if write and current != text:
            path.write_text(current)
        elif current != text:
            problems.append(f"{path.name}: a generated part is out of date; run python docs/check.py --write")
        problems += faults.problems() if faults.PART in text else []
        problems += [f"{path.name}: {problem}" for problem in (*broken_links(path, text), *unknown_names(text))]
    return problems + unexplained("\n".join(pages.values()))


def pages_of(root: Path) -> list[Path]:
    return [*sorted(root.glob("*.md")), *sorted((root / "docs").glob("*.md"))]


def renewed(text: str) -> str:
    return _PART.sub(lambda part: part[1] + GENERATED[part[2]]() + part[3], text)


def broken_links(path: Path, text: str) -> Iterator[str]:
    for link in _LINK.findall(_FENCE.sub("", text)):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        file = (path.parent / target) if target else path
        if not file.exists():
            yield f"the link {link} leads nowhere"
        elif anchor and file.suffix == ".md" and anchor not in _anchors(file.read_text()):
            yield f"the link {link} names a heading that {file.name} does not have"


def unknown_names(text: str) -> Iterator[str]:
    known = {f"KLASSD_{name.upper()}" for name in settings.Settings.__struct_fields__}
    known |= {f"KLASSD_KUBERNETES_{name.upper()}" for name in KubernetesSettings.__struct_fields__}
    for name in sorted(set(_VARIABLE.findall(text)) - known):
        if not name.startswith(_OTHER_VARIABLES):
            yield f"there is no variable {name}"
    for name in sorted(set(_COMMAND.findall(text)) - set(COMMANDS)):
        yield f"there is no command klassd {name}"


def unexplained(text: str) -> list[str]:
    public = [name for name in klassd.workflows.__all__ if not name.startswith("__")]
    return [f"no page speaks of the public name {name}" for name in public if not re.search(rf"\b{name}\b", text)]


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", _FENCE.sub("", text), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


# -- generated parts ------------------------------------------------------------------------------------------------


def _states(machine: str) -> Callable[[], str]:
    def table() -> str:
        rows = [_row(f"`{status}`", _moves(status, moves)) for status, moves in TABLES[machine].items()]
        return _table("state", "what may happen, and the state after it", rows)

    return table


def _moves(status: Any, moves: Mapping[str, Any]) -> str:
    if not moves:
        return "final: nothing any more"
    return "; ".join(f"{event.replace('_', ' ')} -> `{after}`" for event, after in moves.items() if after is not status)


def _causes() -> str:
    return _table(
        "cause",
        "it means",
        [_row(f"`{value}`", text) for value, text in _commented(states.__file__, r'[A-Z_]+ = "(\w+)"') if value in set(Cause)],
    )


def _settings() -> str:
    rows = []
    for name, text in _commented(settings.__file__, r"(\w+): [^=#\n]+ = [^#\n]+"):
        variable = f"`KLASSD_{name.upper()}`" if name in settings._READERS else "only in the file"
        rows.append(_row(f"`{name}`", variable, text))
    known = [name for name in settings.Settings.__struct_fields__ if not any(row.startswith(f"| `{name}`") for row in rows)]
    rows += [_row(f"`{name}`", f"`KLASSD_{name.upper()}`", "") for name in known]
    return _table("setting", "variable | it means", rows)


def _kubernetes() -> str:
    found = dict(_commented(kubernetes.__file__, r"(\w+): [^=#\n]+ = [^#\n]+"))
    own = [name for name in found if name not in settings.Settings.__struct_fields__ or name == "resources"]
    return _table("setting", "it means", [_row(f"`{name}`", found[name]) for name in own])


def _default_pod() -> str:
    """Of a job that says nothing; what tells it from other executions is left out."""
    order = Order(execution_id="run-0-0-1", run_id="run", node="report", job="shop:Report", source="shop:Report")
    spec = render(order, KubernetesSettings(image="registry/shop:1")).job["spec"]["template"]["spec"]
    spec["containers"][0]["env"] = [each for each in spec["containers"][0]["env"] if not each["name"].startswith("KLASSD_")]
    return f"```yaml\n{yaml.safe_dump(spec, sort_keys=False)}```\n"


def _rights() -> str:
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "klassd"}, "rules": rules()}
    return f"```yaml\n{yaml.safe_dump(role, sort_keys=False, default_flow_style=None)}```\n"


def _commands() -> str:
    return _table("command", "it does", [_row(f"`klassd {name}`", COMMANDS[name][0]) for name in COMMANDS])


def _reported(*path: str) -> Callable[[], str]:
    """What a command wrote there for people."""

    def text() -> str:
        return f"```text\n{json.loads(ROOT.joinpath(*path).read_text())['text']}\n```\n"

    return text


def _commented(path: str | None, pattern: str) -> list[tuple[str, str]]:
    """What the code's own comments say of each line that fits: (name, comment)."""
    assert path
    return re.findall(rf"^    {pattern}\s*# (.*)$", Path(path).read_text(), re.M)


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |\n"


def _table(first: str, others: str, rows: list[str]) -> str:
    columns = 1 + others.count("|") + 1
    return f"| {first} | {others} |\n{'| --- ' * columns}|\n{''.join(rows)}"


GENERATED: dict[str, Callable[[], str]] = {
    **{f"states of {'an' if machine == 'execution' else 'a'} {machine}": _states(machine) for machine in TABLES},
    "causes": _causes,
    "faults": faults.page,
    "figures": _reported("benchmarks", "figures.json"),
    "figures of a cluster": _reported("benchmarks", "cluster", "figures.json"),
    "figures of artifacts": _reported("benchmarks", "artifacts.json"),
    "proof": _reported("docs", "proof.json"),
    "settings": _settings,
    "settings of kubernetes": _kubernetes,
    "default pod": _default_pod,
    "rights": _rights,
    "commands": _commands,
}

if __name__ == "__main__":
    found = main(write="--write" in sys.argv[1:])
    print("\n".join(found) or "the documentation is true")
    raise SystemExit(bool(found))
