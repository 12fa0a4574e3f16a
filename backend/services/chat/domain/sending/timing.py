"""When a delivery is tried again, when its outcome is looked up, and how fast channels send.

The rates are those of the providers' documentation:

- WhatsApp: 80 messages per second and number in both directions (20 for numbers that the WhatsApp
  Business app uses too; the account's setting `messages_per_second` lowers the rate), and one
  message in six seconds to one user.
  https://developers.facebook.com/documentation/business-messaging/whatsapp/throughput
- Messenger, Instagram: 300 calls per second and page, 10 with audio or video.
  https://developers.facebook.com/documentation/business-messaging/messenger-platform/overview/rate-limiting
- Slack: one message per second and channel, short bursts allowed.
  https://docs.slack.dev/apis/web-api/rate-limits
- Teams: 7 operations in a second and 1,800 in an hour for a conversation, 50 per second for an app
  and tenant; 412, 429, 502 and 504 are tried again.
  https://learn.microsoft.com/en-us/microsoftteams/platform/bots/how-to/rate-limit
- Telegram: 30 messages per second, one per second and chat, 20 per minute and group.
  https://docs.python-telegram-bot.org/en/v13.6/telegram.constants.html
- Twilio: queues what exceeds the rate of a sender, for WhatsApp 10 to 50 texts per second.
  https://www.twilio.com/docs/whatsapp/best-practices-and-faqs
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

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


def get_account_rate(channel: str, settings: Mapping[str, Any]) -> RateLimit | None:
    """Return the rate of an account, None for a channel without one.

    The setting `messages_per_second` of the account replaces a higher rate.
    """
    rate = ACCOUNT_RATES.get(channel)
    number = settings.get("messages_per_second")
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        return rate
    own = _per_second(number, number)
    return own if rate is None or own.interval > rate.interval else rate


def _per_second(number: float, burst: int) -> RateLimit:
    return RateLimit(timedelta(seconds=1 / number), burst)


# For an account and for one of its conversations.
ACCOUNT_RATES: Final[Mapping[str, RateLimit]] = {
    "whatsapp": _per_second(80, 80),
    "messenger": _per_second(300, 300),
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
# A message with audio or video counts as this number of messages.
MEDIA_WEIGHTS: Final[Mapping[str, int]] = {"messenger": 30}
# 20 messages in a minute.
TELEGRAM_GROUP_RATE: Final = _per_second(1 / 3, 20)
