"""The loops that turn decisions into effects: own runs, launch executions, follow them, stop them."""
