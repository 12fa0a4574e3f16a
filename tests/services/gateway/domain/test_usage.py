"""What a model used, read in passing."""

import pytest

from backend.security.limits import Charge, Limit
from backend.services.gateway.domain.usage import UsageTap, settlement


@pytest.mark.parametrize(
    ("answer", "tokens"),
    [
        (b'{"usage": {"prompt_tokens": 7, "completion_tokens": 5}}', 12),
        (b'{"usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 13}}', 13),
        (b'data: {"usage": null}\n\ndata: {"usage":{"total_tokens":9}}\n\ndata: [DONE]\n\n', 9),
        (b'{"usage": {}}', None),
        (b"no word of it", None),
        (b"x" * 9000 + b'{"usage": {"total_tokens": 4}}', 4),
    ],
)
def test_the_last_usage_counts_however_it_comes(answer, tokens):
    for size in (1, 7, len(answer)):
        tap = UsageTap()
        for start in range(0, len(answer), size):
            tap.feed(answer[start : start + size])
        assert tap.tokens == tokens


@pytest.mark.parametrize(
    ("status", "answer", "units"),
    [
        pytest.param(200, b'"usage": {"total_tokens": 30}', [-70], id="less than reserved"),
        pytest.param(200, b'"usage": {"total_tokens": 130}', [30], id="more than reserved"),
        pytest.param(200, b"", [], id="not said: the reservation stands"),
        pytest.param(503, b"", [-100], id="nothing was done"),
    ],
)
def test_what_was_used_is_taken_instead_of_what_was_reserved(status, answer, units):
    tap = UsageTap()
    tap.feed(answer)
    reserved = [Charge("tokens", "k", Limit(1000, 60, 1000), cost=100)]

    assert [each for _, each in settlement(reserved, status, tap)] == units
