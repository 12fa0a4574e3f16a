"""Token usage, read from streamed model responses."""

import pytest

from backend.security.limits import Charge, Limit
from backend.services.gateway.domain.token_usage import TokenUsageReader, compute_adjustments


@pytest.mark.parametrize(
    ("response", "tokens"),
    [
        (b'{"usage": {"prompt_tokens": 7, "completion_tokens": 5}}', 12),
        (b'{"usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 13}}', 13),
        (b'data: {"usage": null}\n\ndata: {"usage":{"total_tokens":9}}\n\ndata: [DONE]\n\n', 9),
        (b'{"usage": {}}', None),
        (b"no usage", None),
        (b"x" * 9000 + b'{"usage": {"total_tokens": 4}}', 4),
    ],
)
def test_last_usage_is_read_at_any_split(response, tokens):
    for size in (1, 7, len(response)):
        reader = TokenUsageReader()
        for start in range(0, len(response), size):
            reader.feed(response[start : start + size])
        assert reader.total_tokens == tokens


@pytest.mark.parametrize(
    ("status", "response", "units"),
    [
        pytest.param(200, b'"usage": {"total_tokens": 30}', [-70], id="less than reserved"),
        pytest.param(200, b'"usage": {"total_tokens": 130}', [30], id="more than reserved"),
        pytest.param(200, b"", [], id="successful without usage: the reservation is kept"),
        pytest.param(503, b"", [-100], id="failed: the reservation is refunded"),
    ],
)
def test_reservation_is_replaced_by_the_actual_usage(status, response, units):
    reader = TokenUsageReader()
    reader.feed(response)
    reserved = [Charge("tokens", "k", Limit(1000, 60, 1000), cost=100)]

    assert [adjustment for _, adjustment in compute_adjustments(reserved, status, reader)] == units
