from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klassd.workflows import Grow, Job, JobContext, Resources, Retry
from klassd.workflows.errors import ConfigurationError
from klassd.workflows.options import Growth, Needs, RetryPolicy


@pytest.mark.parametrize(
    ("retry", "first", "most"),
    [
        (Retry(3), 1.0, 300.0),
        (Retry(3, backoff="10s..5m"), 10.0, 300.0),
        (Retry(3, backoff="250ms..1h30m"), 0.25, 5400.0),
        (Retry(3, backoff="30s"), 30.0, 30.0),
        (Retry(3, backoff=2), 2.0, 2.0),
        (Retry(3, backoff=0), 0.0, 0.0),
    ],
)
def test_backoff_is_the_first_and_the_longest_wait(retry: Retry, first: float, most: float) -> None:
    assert retry.policy == RetryPolicy(times=3, first=first, most=most, infrastructure=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"times": -1}, "Retry: times is -1: expected a number of retries, 0 or more"),
        ({"times": True}, "Retry: times is True: expected a number of retries"),
        ({"times": "3"}, "Retry: times is '3'"),
        ({"backoff": "5m..1s"}, "Retry: backoff is '5m..1s': expected the first wait not longer than the longest"),
        ({"backoff": "soon"}, "Retry: backoff is 'soon': expected '10s..5m' (first..longest wait) or one duration"),
        ({"backoff": None}, "Retry: backoff is None: expected '10s..5m'"),
        ({"backoff": -1}, "Retry: backoff is -1: expected '10s..5m'"),
        ({"factor": 0.5}, "Retry: factor is 0.5: expected a number of at least 1"),
        ({"factor": float("nan")}, "Retry: factor is nan: expected a number of at least 1"),
        ({"infrastructure": -1}, "Retry: infrastructure is -1: expected a number of retries, 0 or more"),
        ({"on": {"bad luck": 1}}, "Retry: on is 'bad luck': expected a cause of failure: exception, exit"),
        ({"on": {"input": 1}}, "Retry: on is 'input': expected a cause of failure"),
        ({"on": {"oom": -1}}, "Retry: on['oom'] is -1: expected a number of retries, 0 or more"),
        ({"on": {"oom": True}}, "Retry: on['oom'] is True: expected a number of retries"),
        (
            {"on": {"oom": "2x"}},
            "Retry: on['oom'] is '2x': expected a number of retries, 0 or more, or Grow(memory=2, max='8Gi')",
        ),
        (
            {"on": {"evicted": Grow(max="1Gi")}},
            "Retry: on['evicted'] is Grow(memory=2.0, max='1Gi', times=None): expected a num",
        ),
        ({"jitter": 1}, "Retry: jitter is 1: expected a part of the wait, 0 to 1"),
    ],
)
def test_a_wrong_retry_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Retry(**{"times": 1} | options)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory": 1}, "Grow: memory is 1: expected a factor of at least 1.1, such as 2"),
        ({"memory": "2Gi"}, "Grow: memory is '2Gi': expected a factor"),
        ({"memory": float("inf")}, "Grow: memory is inf: expected a factor"),
        ({"max": "lots"}, "Grow: max is 'lots': expected the most memory an attempt may ask for, such as '8Gi'"),
        ({"max": "1Gi/8Gi"}, "Grow: max is '1Gi/8Gi': expected the most"),
        ({"max": "none"}, "Grow: max is 'none': expected the most"),
        ({"max": "0"}, "Grow: max is '0': expected the most"),
        ({"max": 8}, "Grow: max is 8: expected the most"),
        ({"times": 0}, "Grow: times is 0: expected a number of retries, 1 or more"),
        ({"times": True}, "Grow: times is True: expected a number of retries, 1 or more"),
    ],
)
def test_a_wrong_growth_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Grow(**{"max": "8Gi"} | options)
    assert message in str(caught.value)


def test_growth_is_a_budget_of_its_own() -> None:
    policy = Retry(3, on={"oom": Grow(memory=1.5, max="8Gi", times=2), "evicted": 20}).policy
    assert (policy.on, policy.grow) == ({"evicted": 20}, Growth(1.5, "8Gi", 2))


def test_growth_that_could_never_begin_is_refused_with_the_class() -> None:
    with pytest.raises(ConfigurationError, match=r"Full: Grow: max is '1Gi': expected more than its memory limit, '2Gi'"):

        class Full(Job, resources=Resources(memory="2Gi"), retry=Retry(1, on={"oom": Grow(max="1Gi")})):
            def run(self, ctx: JobContext) -> None: ...


@pytest.mark.parametrize(
    ("cpu", "memory"),
    [("1", None), ("250m/1", "256Mi/512Mi"), ("0.5", "1G/1Gi"), ("none", "1Gi/none"), ("/1", "1Gi/"), (None, None)],
)
def test_resources_are_kept_as_written(cpu: str | None, memory: str | None) -> None:
    assert Resources(cpu=cpu, memory=memory).needs == Needs(cpu=cpu, memory=memory)


def test_all_kinds_of_resources_may_be_asked_for() -> None:
    asked = Resources(ephemeral_storage="1Gi/2Gi", extended={"nvidia.com/gpu": 1, "hugepages-2Mi": "64Mi", "x.org/y": "none"})
    assert asked.needs == Needs(
        ephemeral_storage="1Gi/2Gi", extended={"nvidia.com/gpu": "1", "hugepages-2Mi": "64Mi", "x.org/y": "none"}
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cpu": "a lot"}, "Resources: cpu is 'a lot': expected '250m', '1' or '250m/1' (request/limit) or 'none'"),
        ({"cpu": "1/2/3"}, "Resources: cpu is '1/2/3'"),
        ({"cpu": 1}, "Resources: cpu is 1: expected '250m'"),
        ({"cpu": ""}, "Resources: cpu is ''"),
        ({"cpu": "2/500m"}, "Resources: cpu is '2/500m': expected a request not larger than its limit"),
        ({"memory": "1MB"}, "Resources: memory is '1MB': expected '256Mi' or '256Mi/512Mi' (request/limit) or 'none'"),
        ({"memory": "1Gi/1G"}, "Resources: memory is '1Gi/1G': expected a request not larger than its limit"),
        ({"memory": "/"}, "Resources: memory is '/': expected '256Mi'"),
        ({"ephemeral_storage": "some"}, "Resources: ephemeral_storage is 'some': expected '1Gi' or '1Gi/2Gi' (request/limit)"),
        ({"extended": ["gpu"]}, "Resources: extended is ['gpu']: expected names with amounts, such as {'nvidia.com/gpu': 1}"),
        ({"extended": {"gpu": 1}}, "Resources: extended has 'gpu': expected a name such as 'nvidia.com/gpu'"),
        ({"extended": {"x.kubernetes.io/gpu": 1}}, "Resources: extended has 'x.kubernetes.io/gpu'"),
        ({"extended": {"x.org/gpu": True}}, "Resources: extended 'x.org/gpu' is True: expected a whole number such as 1"),
        ({"extended": {"x.org/gpu": "two"}}, "Resources: extended 'x.org/gpu' is 'two': expected a whole number such as 1"),
        ({"cpu": "x", "memory": "y"}, "Resources: cpu is 'x': "),
        ({"cpu": "x", "memory": "y"}, "; Resources: memory is 'y': "),
    ],
)
def test_wrong_resources_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Resources(**options)
    assert message in str(caught.value)


@given(st.text(max_size=12))
def test_any_text_is_a_quantity_or_refused_in_words(text: str) -> None:
    try:
        assert Resources(cpu=text).cpu == text
    except ConfigurationError as error:
        assert f"cpu is {text!r}" in str(error)
