"""What a store must pass, ours and anybody's.

In a test module of yours, with pytest:

    from klassd.workflows.testing.stores import StoreConformance

    class TestMyStore(StoreConformance):
        def factory(self):
            name = new_empty_database()
            return lambda: MyStore(name)

``factory`` is called once per check, and for each example of ``Modelled``. It prepares an empty store and returns a function
that makes a further handle on that same store, not yet opened, each time it is called: two handles stand for two processes.
Each check is a plain method without arguments that makes its own event loop, so any other test runner can call them too.

One check, ``Modelled``, needs hypothesis (``pip install hypothesis``): it tries any sequence of operations, some at once and
some repeated, against a model of dictionaries, and shrinks what fails. ``model_examples`` and ``model_steps`` say how many.

Checks of leases wait 75 ms each, by the store's clock. A store that takes its clock as an argument need not make them wait:
give it a clock of yours in ``factory`` and advance that in ``pass_time``. For messages that show the values compared, put
``pytest.register_assert_rewrite("klassd.workflows.testing.store_checks")`` into your conftest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from klassd.workflows.ports import Store
from klassd.workflows.testing.store_checks import any_sequence, changing, consoles, enqueueing, opening, owning, reading


class StoreConformance(
    enqueueing.Enqueueing,
    enqueueing.Cancelling,
    owning.Claiming,
    owning.Leasing,
    owning.Starting,
    changing.Changing,
    changing.Executions,
    changing.Nodes,
    changing.Counting,
    reading.Listing,
    reading.ListingExecutions,
    reading.Pruning,
    consoles.Consoles,
    opening.Opening,
    opening.Hints,
    any_sequence.Modelled,
):
    """Every promise of ``ports.Store``, a method each. Subclass it and define ``factory``."""

    def factory(self) -> Callable[[], Store]:
        """A new, empty store: returns what makes handles on it."""
        raise NotImplementedError("define factory(self): it returns a function that makes a handle on one empty store")

    async def pass_time(self, seconds: float) -> None:
        """Until the store's own clock is that much later."""
        await asyncio.sleep(seconds)
