"""Read the token usage of a model from the end of its response while the response streams."""

import re
from collections.abc import Iterable

from backend.security.limits import Charge

_TAIL_BYTES = 4096
_FIELD = re.compile(rb'"(total_tokens|prompt_tokens|completion_tokens)"\s*:\s*([0-9]{1,9})')


class TokenUsageReader:
    """Keeps the last 4096 bytes of a response to find its last `usage` object."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b""

    def feed(self, data: bytes) -> None:
        self._tail = (
            data[-_TAIL_BYTES:] if len(data) >= _TAIL_BYTES else (self._tail + data)[-_TAIL_BYTES:]
        )

    @property
    def total_tokens(self) -> int | None:
        """Sum of prompt and completion tokens, or None if the response has no usage."""
        position = self._tail.rfind(b'"usage"')
        if position < 0:
            return None
        counts = {name: int(number) for name, number in _FIELD.findall(self._tail, position)}
        if b"total_tokens" in counts:
            return counts[b"total_tokens"]
        if not counts:
            return None
        return counts.get(b"prompt_tokens", 0) + counts.get(b"completion_tokens", 0)


def compute_adjustments(
    reserved: Iterable[Charge], status: int, reader: TokenUsageReader
) -> list[tuple[Charge, int]]:
    """Return the units to add to each reserved charge after the response; negative is a refund.

    A failed response without usage refunds the whole reservation. A successful response without
    usage keeps it.
    """
    used_tokens = reader.total_tokens
    if used_tokens is None:
        if 200 <= status < 300:
            return []
        used_tokens = 0
    return [(charge, used_tokens - charge.cost) for charge in reserved]
