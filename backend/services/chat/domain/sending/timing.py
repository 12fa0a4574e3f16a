"""When a delivery is tried again, when its outcome is looked up, and how fast channels send."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from backend.services.chat.store.send_rates import RateLimit

MAX_ATTEMPTS: Final = 8
_MIN_BACKOFF: Final = 1.0
_MAX_BACKOFF: Final = 900.0
_BACKOFF_FACTOR: Final = 4.0
_JITTER: Final = 0.2

SETTLING_PERIOD: Final = timedelta(seconds=20)
"""A provider may still store a message for this time after the attempt whose outcome is unknown."""
EVENT_PERIOD: Final = timedelta(seconds=60)
"""A delivery holds back later ones for this time while a status or an echo may settle it."""
_FIRST_LOOK_UP: Final = timedelta(seconds=2)

CIRCUIT_THRESHOLD: Final = 5
HOOK_FAILURE_PERIOD: Final = timedelta(days=3)
"""A hook that has accepted nothing for this time is disabled."""
_MIN_PAUSE: Final = 10.0


def get_backoff(attempts: int, random: float) -> timedelta:
    """Return the pause after attempt number *attempts*: 1 s, 4 s, 16 s … 15 min, ± 20 %.

    Args:
        random: a number from 0 to 1.
    """
    seconds = min(_MIN_BACKOFF * _BACKOFF_FACTOR ** max(attempts - 1, 0), _MAX_BACKOFF)
    return timedelta(seconds=seconds * (1 - _JITTER + 2 * _JITTER * random))


def get_look_up_pause(look_ups: int) -> timedelta:
    """Return the pause before the next look-up, after *look_ups* of them."""
    pause: timedelta = _FIRST_LOOK_UP * 2 ** min(look_ups, 10)
    return min(pause, timedelta(seconds=_MAX_BACKOFF))


def get_circuit_pause(failures: int) -> timedelta | None:
    """Return for how long an account sends nothing after *failures* in a row, None for no pause."""
    if failures < CIRCUIT_THRESHOLD:
        return None
    exponent = min(failures - CIRCUIT_THRESHOLD, 10)
    return timedelta(seconds=min(_MIN_PAUSE * 2**exponent, _MAX_BACKOFF))


def _per_second(number: float, burst: int) -> RateLimit:
    return RateLimit(timedelta(seconds=1 / number), burst)


# From the providers' documentation, for an account and for one of its conversations.
ACCOUNT_RATES: Final[Mapping[str, RateLimit]] = {
    "whatsapp": _per_second(80, 80),
    "messenger": _per_second(100, 100),
    "teams": _per_second(50, 50),
    "telegram": _per_second(30, 30),
    "twilio": _per_second(50, 50),
    "generic": _per_second(50, 50),
}
CONVERSATION_RATES: Final[Mapping[str, RateLimit]] = {
    # One message in six seconds; a burst of 45 is allowed and delays the next ones.
    "whatsapp": _per_second(1 / 6, 45),
    "messenger": _per_second(2, 10),
    "slack": _per_second(1, 4),
    # 7 in a second and 1,800 in an hour.
    "teams": _per_second(0.5, 7),
    "telegram": _per_second(1, 4),
    "twilio": _per_second(1, 10),
}
# 20 messages in a minute.
TELEGRAM_GROUP_RATE: Final = _per_second(1 / 3, 20)
