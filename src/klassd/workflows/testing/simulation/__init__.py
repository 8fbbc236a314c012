"""A deterministic simulation of the real engine: see ``simulate``."""
