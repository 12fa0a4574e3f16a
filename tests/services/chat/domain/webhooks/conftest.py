"""Fixtures of the chat service's tests."""

from pathlib import Path

import pytest

from tests.services.chat.webhook_senders import WebhookSenders


@pytest.fixture
def senders(tmp_path: Path) -> WebhookSenders:
    """A receiver of webhooks with its database, and providers that sign them."""
    return WebhookSenders(tmp_path)
