"""Runs executions as pods of a cluster: a ``batch/v1`` Job each."""
