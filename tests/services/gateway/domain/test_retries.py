"""Retry decisions and the retry budget."""

import time

import pytest

from backend.services.gateway.clients.instances import InstanceGroup
from backend.services.gateway.domain.retries import (
    FailedAttempt,
    RetryBudget,
    RetryPolicy,
    is_safe_to_retry,
)


def failed_attempt(method="POST", **values):
    defaults = {
        "number": 1,
        "has_idempotency_key": False,
        "response_started": False,
        "is_body_replayable": True,
        "was_sent": True,
    }
    return FailedAttempt(method=method, **(defaults | values))


@pytest.mark.parametrize(
    ("attempt", "is_safe"),
    [
        pytest.param(failed_attempt("GET"), True, id="idempotent method"),
        pytest.param(failed_attempt("POST"), False, id="POST may have been executed"),
        pytest.param(failed_attempt("PATCH"), False, id="PATCH may have been executed"),
        pytest.param(failed_attempt("POST", was_sent=False), True, id="not sent"),
        pytest.param(failed_attempt("POST", is_unacknowledged=True), True, id="unacknowledged"),
        pytest.param(failed_attempt("POST", has_idempotency_key=True), True, id="idempotency key"),
        pytest.param(failed_attempt("GET", response_started=True), False, id="response started"),
        pytest.param(failed_attempt("PUT", is_body_replayable=False), False, id="body not kept"),
        pytest.param(
            failed_attempt(is_unacknowledged=True, is_body_replayable=False),
            False,
            id="unacknowledged but body not kept",
        ),
    ],
)
def test_request_is_retried_only_if_it_cannot_be_executed_twice(attempt, is_safe):
    assert is_safe_to_retry(attempt) is is_safe


def test_retry_excludes_the_failed_instance_if_there_are_others():
    group = InstanceGroup("rag", [("a", 1), ("b", 1)])
    failed = group.instances[0]

    assert RetryPolicy(group).plan_retry(failed_attempt("GET"), failed) == (failed,)


def test_only_instance_is_retried_unless_it_refuses_connections():
    group = InstanceGroup("rag", [("a", 1)])
    policy = RetryPolicy(group)

    assert policy.plan_retry(failed_attempt("GET"), group.instances[0]) == ()
    assert policy.plan_retry(failed_attempt("GET", was_sent=False), group.instances[0]) is None


def test_second_failed_attempt_is_final():
    group = InstanceGroup("rag", [("a", 1), ("b", 1)])

    assert RetryPolicy(group).plan_retry(failed_attempt("GET", number=2), None) is None


def test_stale_connection_is_followed_by_another_instance_that_is_available():
    group = InstanceGroup("rag", [("a", 1), ("b", 1)])
    policy = RetryPolicy(group, RetryBudget(reserve=0.0))
    stale, other = group.instances

    assert policy.plan_retry(failed_attempt(is_unacknowledged=True), stale) == (stale,)
    other.ejected_until = time.monotonic() + 60
    assert policy.plan_retry(failed_attempt(is_unacknowledged=True), stale) == ()


def test_stale_connection_is_retried_without_budget():
    group = InstanceGroup("rag", [("a", 1)])
    policy = RetryPolicy(group, RetryBudget(reserve=0.0))

    assert policy.plan_retry(failed_attempt(is_unacknowledged=True), group.instances[0]) == ()
    assert policy.plan_retry(failed_attempt("GET"), group.instances[0]) is None


def test_retry_budget_allows_one_retry_per_ten_requests():
    budget = RetryBudget(ratio=0.1, reserve=2.0)
    assert [budget.try_spend() for _ in range(3)] == [True, True, False]

    for _ in range(11):
        budget.record_request()

    assert [budget.try_spend() for _ in range(2)] == [True, False]
