"""The stores against a model of them, at length: ``python -m proof.machines EXAMPLES STEPS``."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

MODEL = Path(__file__).resolve().parent.parent / "tests" / "stores" / "test_store_model.py"


def machines() -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location("test_store_model", MODEL)
    assert spec and spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {"memory": module.MemoryMachine, "sqlite": module.SqliteMachine}


def main(examples: int, steps: int) -> None:
    wanted = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    for name, machine in machines().items():
        run_state_machine_as_test(machine, settings=wanted)
        print(f"{name}: {examples:,} sequences of up to {steps} operations agree with the model")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
