"""Frozen values the whole house speaks in. No behaviour beyond what a value says of itself."""
