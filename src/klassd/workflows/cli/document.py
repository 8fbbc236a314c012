"""A run as JSON for machines: the same document in ``run --json``, ``show --json`` and ``rerun --follow --json``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from klassd.workflows.cli.outside import Outside
from klassd.workflows.cli.style import iso
from klassd.workflows.client import NodeView, RunView
from klassd.workflows.model.logs import LogLine
from klassd.workflows.model.run import Execution, Run
from klassd.workflows.rules.timeline import Step, begun_late, timeline


def emit(document: object) -> None:
    """One line on standard output, at once: the reader may be a program that waits for it."""
    sys.stdout.write(json.dumps(msgspec.to_builtins(document), ensure_ascii=True) + "\n")
    sys.stdout.flush()


def run_document(view: RunView, outside: Mapping[str, Outside] | None = None) -> dict[str, Any]:
    """``outside``: by execution, what was asked of the cluster."""
    return {**run_head(view.run), "nodes": {node.name: _node(view.run, node, outside or {}) for node in view.nodes}}


def run_head(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "name": run.name,
        "kind": run.kind,
        "status": str(run.status),
        "output": run.output,
        "error": run.error,
        "params": run.params,
        "tags": list(run.tags),
        "tenant": run.tenant,
        "queue": run.queue,
        "priority": run.priority,
        "key": run.idempotency_key,
        "rerun_of": run.rerun_of,
        "created_at": iso(run.created_at),
        "not_before": iso(run.not_before or None),
        "started_at": iso(run.started_at),
        "finished_at": iso(run.finished_at),
    }


def _node(run: Run, node: NodeView, outside: Mapping[str, Outside]) -> dict[str, Any]:
    said: dict[str, Any] = {"status": str(node.status), "output": node.output, "error": node.error, "attempts": node.attempts}
    if node.node.service is not None:
        said["address"] = node.address
    if node.node.mapped:
        said["items"] = [_item(node, execution) for execution in node.latest]
    said["executions"] = [_execution(run, execution, outside.get(execution.id)) for execution in node.executions]
    return said


def _item(node: NodeView, execution: Execution) -> dict[str, Any]:
    items = node.row.items if node.row else None
    return {
        "index": execution.index,
        "item": items[execution.index] if items is not None and execution.index < len(items) else None,
        "status": str(execution.status),
        "output": execution.output,
        "attempts": execution.attempt,
    }


def _execution(run: Run, execution: Execution, outside: Outside | None) -> dict[str, Any]:
    said = {
        "id": execution.id,
        "index": execution.index,
        "attempt": execution.attempt,
        "status": str(execution.status),
        "cause": None if execution.cause is None else str(execution.cause),
        "error": execution.error,
        "exit_code": execution.exit_code,
        "outputs": execution.outputs,
        "warnings": list(execution.warnings),
        "waiting": execution.waiting,
        "memory": execution.memory,
        "started_at": iso(execution.started_at),
        "finished_at": iso(execution.finished_at),
        "lines": execution.log_lines,
        "place": execution.place,
        "located": execution.located,
        "phases": {name: iso(at) for name, at in msgspec.structs.asdict(execution.phases).items() if at is not None},
        "timeline": [_step(step) for step in timeline(execution, begun_late(run, execution))],
    }
    return said if outside is None else said | {"outside": _outside(outside)}


def _step(step: Step) -> dict[str, Any]:
    seconds = None if step.end is None else round(step.end - step.begin, 6)
    return {"step": step.name, "begin": iso(step.begin), "end": iso(step.end), "seconds": seconds, "vague": step.vague}


def _outside(outside: Outside) -> dict[str, Any]:
    described = outside.description
    said: dict[str, Any] = {"commands": list(outside.commands), "problem": outside.problem or None}
    if described is None:
        return said
    shown = msgspec.structs.asdict(described) | {"phases": msgspec.to_builtins(described.phases)}
    shown["phases"] = {name: iso(at) for name, at in shown["phases"].items()}
    shown["events"] = [msgspec.structs.asdict(event) | {"at": iso(event.at)} for event in described.events]
    return said | shown


def line_document(execution: Execution, line: LogLine) -> dict[str, Any]:
    """``missing`` and ``cut_bytes`` mark what is not there; such a line has no text."""
    said = {
        "execution": execution.id,
        "node": execution.node,
        "index": execution.index,
        "attempt": execution.attempt,
        "line": line.number,
        "time": iso(line.time),
        "stream": line.stream,
        "level": line.level,
        "text": line.text,
    }
    markers = {"logger": line.logger, "missing": line.missing, "cut_bytes": line.cut_bytes}
    return said | {name: value for name, value in markers.items() if value}
