"""What may be sent a second time, and what never."""

import pytest

from backend.services.gateway.domain.retries import Failure, RetryBudget, may_repeat


def failure(method="POST", **known):
    base = {"has_idempotency_key": False, "answer_begun": False, "body_kept": True, "sent": True}
    return Failure(method, **(base | known))


@pytest.mark.parametrize(
    ("failed", "again"),
    [
        pytest.param(failure("GET"), True, id="safe"),
        pytest.param(failure("POST"), False, id="may have been done"),
        pytest.param(failure("PATCH"), False, id="patch likewise"),
        pytest.param(failure("POST", sent=False), True, id="never left"),
        pytest.param(failure("POST", untouched=True), True, id="nothing acknowledged"),
        pytest.param(failure("POST", has_idempotency_key=True), True, id="made repeatable"),
        pytest.param(failure("GET", answer_begun=True), False, id="the answer had begun"),
        pytest.param(failure("PUT", body_kept=False), False, id="the body is gone"),
        pytest.param(failure(untouched=True, body_kept=False), False, id="gone, if untouched"),
    ],
)
def test_a_request_is_repeated_only_where_that_can_do_nothing_twice(failed, again):
    assert may_repeat(failed) is again


def test_repeats_are_a_tenth_of_the_requests_at_most():
    budget = RetryBudget(ratio=0.1, reserve=2.0)
    assert [budget.take() for _ in range(3)] == [True, True, False]

    for _ in range(11):
        budget.request()

    assert [budget.take() for _ in range(2)] == [True, False]
