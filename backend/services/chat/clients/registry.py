"""The client of each channel."""

from backend.services.chat.clients.messenger import MessengerClient
from backend.services.chat.clients.outcomes import ChannelClient
from backend.services.chat.clients.provider_http import ProviderHttp
from backend.services.chat.clients.slack import SlackClient
from backend.services.chat.clients.standard_webhooks import StandardWebhooksClient
from backend.services.chat.clients.teams import TeamsClient
from backend.services.chat.clients.telegram import TelegramClient
from backend.services.chat.clients.twilio import TwilioClient
from backend.services.chat.clients.whatsapp import WhatsAppClient


def create_channel_clients(http: ProviderHttp) -> dict[str, ChannelClient]:
    """Return the clients by channel. Web chat has none: its messages are read from the service."""
    return {
        "whatsapp": WhatsAppClient(http),
        "messenger": MessengerClient(http),
        "slack": SlackClient(http),
        "teams": TeamsClient(http),
        "telegram": TelegramClient(http),
        "twilio": TwilioClient(http),
        "generic": StandardWebhooksClient(http),
    }
