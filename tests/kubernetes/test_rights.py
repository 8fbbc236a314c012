"""A right that is missing is told by its name."""

from __future__ import annotations

import logging

import pytest

from klassd.workflows.executors.kubernetes.api import Api, ApiError
from klassd.workflows.executors.kubernetes.follower import Follower
from klassd.workflows.executors.kubernetes.rights import RIGHTS
from klassd.workflows.executors.kubernetes.turns import Turns
from klassd.workflows.executors.kubernetes.view import Known

GRANTED = [(group, resource, verb) for (group, resource), verbs in RIGHTS.items() for verb in verbs]


def refusal(group: str, resource: str, verb: str) -> ApiError:
    """As the API server words it."""
    said = (
        f'{resource} is forbidden: User "u" cannot {verb} resource "{resource}" in API group "{group}" in the namespace "jobs"'
    )
    return ApiError(403, "Forbidden", said)


@pytest.mark.fault("E7")
@pytest.mark.parametrize(("group", "resource", "verb"), GRANTED, ids=lambda each: each or "core")
def test_whichever_right_is_missing_its_name_and_the_cure_come_first(group: str, resource: str, verb: str) -> None:
    said = str(refusal(group, resource, verb))
    assert said.startswith(
        f"configuration: the scheduler lacks the right to {verb} {resource}; the role of `klassd manifest` has it: 403"
    )


def test_another_refusal_is_no_missing_right() -> None:
    error = ApiError(403, "Forbidden", 'pods "x" is forbidden: exceeded quota: full')
    assert error.lacking is None and str(error).startswith("403 Forbidden: ")


def test_a_console_that_may_not_be_read_is_told_loudly_once(caplog: pytest.LogCaptureFixture) -> None:
    follower = Follower(Api(None, "jobs"), Known(), Turns(0.0), "run-0-0-1", "", 0, 1)  # type: ignore[arg-type]
    with caplog.at_level(logging.INFO):
        follower._cannot_listen(ApiError(400, "BadRequest", "container is starting"))
        for _ in range(3):
            follower._cannot_listen(refusal("", "pods/log", "get"))
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING", "INFO", "INFO"]
