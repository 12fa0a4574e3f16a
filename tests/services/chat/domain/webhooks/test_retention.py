"""Retention of webhooks."""

from backend.services.chat.domain.webhooks.retention import Expired, WebhookRetention
from tests.services.chat.domain.channels.normalising import telegram, whatsapp
from tests.services.chat.webhook_senders import START, WebhookSenders


def test_body_is_deleted_after_seven_days_and_the_key_after_thirty(
    senders: WebhookSenders,
) -> None:
    senders.add_account("telegram")
    senders.send("telegram", telegram(text="hi"))
    retention = WebhookRetention(senders.database, senders.clock)

    senders.clock.move(days=7, seconds=-1)
    assert retention.delete_expired() == Expired()
    senders.clock.move(minutes=10)
    assert retention.delete_expired() == Expired(bodies=1)
    assert senders.list_inbound()[0].raw is None
    senders.clock.move(days=24)
    assert retention.delete_expired() == Expired(keys=1)
    assert len(senders.list_messages()) == 1


def test_event_without_message_is_dropped_after_a_day(senders: WebhookSenders) -> None:
    senders.add_account("whatsapp")
    senders.send("whatsapp", whatsapp(statuses=[{"id": "wamid.9", "status": "sent"}]))
    retention = WebhookRetention(senders.database, senders.clock)

    assert (retention.get_next_expiry() or START) > START
    senders.clock.move(hours=25)
    assert retention.delete_expired().early_events == 1
