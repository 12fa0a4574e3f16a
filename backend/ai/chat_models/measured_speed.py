"""Measured speed of a model server, from which time limits and amounts of text follow."""

from collections.abc import Mapping
from typing import Any, Final

# Assumed until the first response: a slow host, so that its first answers are not interrupted.
_ASSUMED_PROMPT_SPEED: Final = 12.0
_ASSUMED_RESPONSE_SPEED: Final = 2.0
# Weight of the latest measurement. The load of a host changes within minutes.
_LATEST_WEIGHT: Final = 0.4
# Shorter prompts and responses measure the overhead of a call rather than the speed.
_MIN_PROMPT_TOKENS: Final = 16
_MIN_RESPONSE_TOKENS: Final = 4
# A call may take this multiple of the expected time: another call can be ahead of it, and the host
# can become slower.
_MARGIN: Final = 4.0


class MeasuredSpeed:
    """Tokens per second that a server reads of prompts and writes of responses."""

    def __init__(self) -> None:
        self.prompt_speed = _ASSUMED_PROMPT_SPEED
        self.response_speed = _ASSUMED_RESPONSE_SPEED
        self._has_prompt_speed = self._has_response_speed = False

    def record_timings(self, timings: Mapping[str, Any]) -> None:
        """Update the speeds with the `timings` of a response of llama.cpp's server.

        Tokens that were read from the server's prompt cache are not among its `prompt_n`.
        """
        speed = _compute_speed(timings, "prompt", _MIN_PROMPT_TOKENS)
        if speed is not None:
            self.prompt_speed = _mix(self.prompt_speed, speed, is_first=not self._has_prompt_speed)
            self._has_prompt_speed = True
        speed = _compute_speed(timings, "predicted", _MIN_RESPONSE_TOKENS)
        if speed is not None:
            self.response_speed = _mix(
                self.response_speed, speed, is_first=not self._has_response_speed
            )
            self._has_response_speed = True

    def estimate_seconds(self, prompt_tokens: int, response_tokens: int) -> float:
        """Return the expected seconds of a call whose prompt is not in the server's cache."""
        return prompt_tokens / self.prompt_speed + response_tokens / self.response_speed

    def compute_timeout_seconds(self, prompt_tokens: int, response_tokens: int) -> float:
        """Return how many seconds such a call may take before it counts as failed."""
        return _MARGIN * self.estimate_seconds(prompt_tokens, response_tokens)


def _compute_speed(timings: Mapping[str, Any], part: str, min_tokens: int) -> float | None:
    tokens, milliseconds = timings.get(f"{part}_n"), timings.get(f"{part}_ms")
    if not isinstance(tokens, int) or not isinstance(milliseconds, int | float):
        return None
    if tokens < min_tokens or milliseconds <= 0:
        return None
    return tokens / milliseconds * 1_000


def _mix(known: float, latest: float, *, is_first: bool) -> float:
    return latest if is_first else known + _LATEST_WEIGHT * (latest - known)
