"""Any sequence of operations, see ``machine``. Light: hypothesis is imported when the check runs."""

from __future__ import annotations

from typing import cast

from klassd.workflows.testing.store_checks.bench import Suite


class Modelled:
    model_examples = 30  # sequences
    model_steps = 30  # operations in each, at most

    def test_any_sequence_of_operations_does_what_a_model_of_dictionaries_does(self) -> None:
        try:
            from klassd.workflows.testing.store_checks.machine import explore
        except ModuleNotFoundError as missing:
            if missing.name != "hypothesis":
                raise
            raise ModuleNotFoundError(
                "this check of StoreConformance tries sequences that hypothesis makes, and hypothesis is not installed: "
                "`pip install hypothesis` where the suite runs. The other checks do without",
                name="hypothesis",
            ) from None
        explore(cast(Suite, self), self.model_examples, self.model_steps)
