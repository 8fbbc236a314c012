"""Runs executions: a supervisor that forks the job's process, frames what it says and records its outcome.

Sees the contract only. What is imported here is paid for in every pod and makes every local fork dearer, so: no asyncio unless
a job's ``run`` awaits, no logging unless the job imports it, artifacts on first use.
"""
