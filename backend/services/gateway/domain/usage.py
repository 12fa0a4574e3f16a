"""What a model's answer says it has used, read in passing from the end of a stream."""

import re
from collections.abc import Iterable

from backend.security.limits import Charge

_TAIL = 4096
_FIELD = re.compile(rb'"(total_tokens|prompt_tokens|completion_tokens)"\s*:\s*([0-9]{1,9})')


class UsageTap:
    """Keeps the last bytes of an answer; `tokens` is what its last `usage` names."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b""

    def feed(self, data: bytes) -> None:
        self._tail = data[-_TAIL:] if len(data) >= _TAIL else (self._tail + data)[-_TAIL:]

    @property
    def tokens(self) -> int | None:
        """Prompt and completion together, or None where the answer says nothing."""
        at = self._tail.rfind(b'"usage"')
        if at < 0:
            return None
        found = {name: int(number) for name, number in _FIELD.findall(self._tail, at)}
        if b"total_tokens" in found:
            return found[b"total_tokens"]
        if not found:
            return None
        return found.get(b"prompt_tokens", 0) + found.get(b"completion_tokens", 0)


def settlement(reserved: Iterable[Charge], status: int, tap: UsageTap) -> list[tuple[Charge, int]]:
    """The units that each charge still takes, or gets back, at the end of an answer.

    Where nothing was done nothing is taken; where a good answer does not say what it
    used, the reservation stands.
    """
    used = tap.tokens
    if used is None:
        if 200 <= status < 300:
            return []
        used = 0
    return [(charge, used - charge.cost) for charge in reserved]
