"""Limits of the channels for what is sent, from the providers' documentation.

- WhatsApp lists: 10 rows in all sections.
  https://developers.facebook.com/documentation/business-messaging/whatsapp/messages/interactive-list-messages
- Messenger: 13 quick replies; files of 25 MB.
  https://developers.facebook.com/documentation/business-messaging/messenger-platform/send-messages/quick-replies
  https://developers.facebook.com/documentation/business-messaging/messenger-platform/send-messages/saving-assets
- Telegram: 4,096 characters, captions of 1,024, files of 50 MB and photos of 10 MB.
  https://docs.python-telegram-bot.org/en/v13.6/telegram.constants.html
- Twilio: 1,600 characters; media of 5 MB by MMS and 16 MB by WhatsApp.
  https://www.twilio.com/docs/api/errors/14103
  https://www.twilio.com/docs/api/errors/11751

Text is counted in UTF-16 code units, which is never less than a provider's own count.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from backend.services.chat.domain.rendering.dialects import (
    PLAIN,
    SLACK,
    TEAMS,
    TELEGRAM,
    WHATSAPP,
    Dialect,
)

_MB: Final = 1_000_000
MAX_PARTS: Final = 40
"""A message is sent in at most this number of parts; the last one says that it was shortened."""


@dataclass(frozen=True, slots=True)
class ChannelLimits:
    """Limits of a channel for one message.

    Attributes:
        text: size of a text; *caption* that of the text of a file, 0 if files have none.
        buttons: number of choices shown as buttons, with titles of *button_title* characters.
        rows: number of choices shown as a list, with titles of *row_title* characters.
        choice_text: size of the text above buttons or a list.
        choice_id_bytes: bytes of a choice's id.
        media_bytes: maximum size of a file by type; missing if files are sent as links.
        media_types: MIME types that are accepted; others are converted or sent as files.
        media_links: the provider fetches files from links instead of accepting uploads.
        location: the channel shows locations.
        contacts: the channel shows contact cards.
        template: the channel has templates.
        window_hours: answers are only accepted for this time after a person's message.
    """

    dialect: Dialect
    text: int
    caption: int = 0
    buttons: int = 0
    button_title: int = 0
    rows: int = 0
    row_title: int = 0
    row_description: int = 0
    choice_text: int = 0
    choice_id_bytes: int = 200
    media_bytes: Mapping[str, int] = field(default_factory=dict)
    media_types: Mapping[str, frozenset[str]] = field(default_factory=dict)
    media_links: bool = False
    location: bool = False
    contacts: bool = False
    template: bool = False
    window_hours: int | None = None


_WHATSAPP_MEDIA: Final = {
    "image": frozenset({"image/jpeg", "image/png"}),
    "audio": frozenset({"audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"}),
    "video": frozenset({"video/mp4", "video/3gpp"}),
    "sticker": frozenset({"image/webp"}),
}

# The keys are a channel, or a channel and its transport.
_LIMITS: Final[Mapping[str, ChannelLimits]] = {
    "whatsapp": ChannelLimits(
        WHATSAPP,
        text=4_096,
        caption=1_024,
        buttons=3,
        button_title=20,
        rows=10,
        row_title=24,
        row_description=72,
        choice_text=1_024,
        media_bytes={
            "image": 5 * _MB,
            "audio": 16 * _MB,
            "video": 16 * _MB,
            "file": 100 * _MB,
            "sticker": 100_000,
        },
        media_types=_WHATSAPP_MEDIA,
        location=True,
        contacts=True,
        template=True,
        window_hours=24,
    ),
    "messenger": ChannelLimits(
        PLAIN,
        text=2_000,
        buttons=13,
        button_title=20,
        choice_text=2_000,
        choice_id_bytes=1_000,
        media_bytes=dict.fromkeys(("image", "audio", "video", "file", "sticker"), 25 * _MB),
        window_hours=24,
    ),
    "messenger:instagram": ChannelLimits(
        PLAIN,
        text=1_000,
        buttons=13,
        button_title=20,
        choice_text=1_000,
        choice_id_bytes=1_000,
        media_bytes={"image": 8 * _MB, "audio": 25 * _MB, "video": 25 * _MB, "sticker": 8 * _MB},
        media_links=True,
        window_hours=24,
    ),
    "slack": ChannelLimits(
        SLACK,
        text=4_000,
        caption=4_000,
        buttons=25,
        button_title=75,
        rows=100,
        row_title=75,
        row_description=75,
        choice_text=3_000,
        media_bytes=dict.fromkeys(("image", "audio", "video", "file", "sticker"), 1_000 * _MB),
    ),
    "teams": ChannelLimits(
        TEAMS,
        text=12_000,
        buttons=6,
        button_title=60,
        rows=60,
        row_title=100,
        choice_text=8_000,
    ),
    "telegram": ChannelLimits(
        TELEGRAM,
        text=4_096,
        caption=1_024,
        buttons=50,
        button_title=64,
        choice_text=4_096,
        choice_id_bytes=64,
        media_bytes={
            "image": 10 * _MB,
            "audio": 50 * _MB,
            "video": 50 * _MB,
            "file": 50 * _MB,
            "sticker": 512_000,
        },
        location=True,
        contacts=True,
    ),
    # Files of Twilio are links that the provider fetches: 5 MB by MMS, 16 MB by WhatsApp.
    "twilio": ChannelLimits(PLAIN, text=1_600, caption=1_600),
    "twilio:whatsapp": ChannelLimits(
        WHATSAPP, text=1_600, caption=1_600, template=True, window_hours=24
    ),
    "twilio:voice": ChannelLimits(PLAIN, text=3_000),
    "generic": ChannelLimits(PLAIN, text=20_000),
    "web": ChannelLimits(PLAIN, text=1_000_000),
}
_LINK_BYTES: Final = {"twilio": 5 * _MB, "twilio:whatsapp": 16 * _MB}


def get_limits(channel: str, transport: str = "") -> ChannelLimits:
    """Return the limits of *channel*, such as whatsapp. Twilio's depend on the *transport*."""
    return _LIMITS.get(f"{channel}:{transport}") or _LIMITS.get(channel) or _LIMITS["generic"]


def get_max_linked_bytes(channel: str, transport: str = "") -> int:
    """Return the size up to which the provider shows a linked file itself."""
    key = f"{channel}:{transport}"
    return _LINK_BYTES.get(key) or _LINK_BYTES.get(channel, 0)
