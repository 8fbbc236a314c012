"""How quick it is, against the limits of the machine it is measured on: ``python -m benchmarks``."""
