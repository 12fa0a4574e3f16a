"""The cases that are run at every simulated provider, with the outcomes that are expected."""

from dataclasses import dataclass
from typing import Final

from backend.services.chat.jobs.simulation.server import Fault

# How a channel proves whether the provider has a message.
_LOOK_UP: Final = frozenset({"slack", "twilio"})
_EVENT: Final = frozenset({"whatsapp", "messenger"})
_REPEAT: Final = frozenset({"generic"})
STATUS_CHANNELS: Final = ("whatsapp", "messenger", "twilio")
"""Channels whose providers report that a message was delivered."""

_PARAGRAPH: Final = "part-{}. " + "word " * 250
LONG_TEXT: Final = "\n\n".join(_PARAGRAPH.format(number) for number in range(1, 19))


@dataclass(frozen=True, slots=True)
class OutboundCase:
    """A message that is sent, and what happens to it at the provider.

    *text* is a part of the message and of the request, by which the fault finds it.
    """

    name: str
    text: str
    faults: tuple[Fault, ...] = ()

    def get_expected(self, channel: str) -> str:
        """Return the state of the message and how often the provider has it."""
        return _EXPECTED[self.name](channel)


OUTBOUND_CASES: Final = (
    OutboundCase("accepted", "case-plain"),
    OutboundCase("429 with Retry-After", "case-limit", (Fault("rate_limited", retry_after=2),)),
    OutboundCase("503 twice", "case-503", (Fault("unavailable"), Fault("unavailable"))),
    OutboundCase("500", "case-500", (Fault("server_error"),)),
    OutboundCase("accepted, response lost", "case-lost", (Fault("lost"),)),
    OutboundCase("connection lost before", "case-dropped", (Fault("dropped"),)),
    OutboundCase("refused", "case-refused", (Fault("rejected"),)),
)


def _always_sent(_channel: str) -> str:
    return "sent x1"


def _sent_with_proof(channel: str) -> str:
    return "sent x1" if channel in _LOOK_UP | _REPEAT else "unknown x0"


def _lost(channel: str) -> str:
    return "sent x1" if channel in _LOOK_UP | _REPEAT | _EVENT else "unknown x1"


def _refused(channel: str) -> str:
    # A receiver of webhooks gets every message again until it accepts it.
    return "sent x1" if channel in _REPEAT else "failed x0"


_EXPECTED: Final = {
    "accepted": _always_sent,
    "429 with Retry-After": _always_sent,
    "503 twice": _always_sent,
    "500": _sent_with_proof,
    "accepted, response lost": _lost,
    "connection lost before": _sent_with_proof,
    "refused": _refused,
}
