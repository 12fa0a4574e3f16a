"""Requests that are not authentic or not readable, and replay of failed webhooks."""

import json
from typing import Any

import pytest

from backend.services.chat.errors import (
    ResourceNotFound,
    WebhookRejected,
    WebhookTooLarge,
    WebhookUnreadable,
)
from backend.services.chat.store.tables import Account, Attachment, Contact, Conversation
from tests.services.chat.domain.channels.normalising import (
    messenger,
    slack_message,
    teams,
    telegram,
    twilio,
    whatsapp_message,
)
from tests.services.chat.webhook_senders import WebhookSenders

PAYLOADS: dict[str, dict[str, Any]] = {
    "whatsapp": whatsapp_message(type="text", text={"body": "hi"}),
    "messenger": messenger(message={"mid": "m", "text": "hi"}),
    "slack": slack_message(text="hi"),
    "teams": teams(text="hi"),
    "telegram": telegram(text="hi"),
    "twilio": twilio(Body="hi"),
    "generic": {"user_id": "u", "text": "hi"},
}


@pytest.mark.parametrize("channel", sorted(PAYLOADS))
def test_signed_webhook_is_stored(senders: WebhookSenders, channel: str) -> None:
    senders.add_account(channel)

    senders.send(channel, PAYLOADS[channel])

    (message,) = senders.list_messages()
    assert message.content == {"type": "text", "text": "hi"}


@pytest.mark.parametrize("channel", sorted(PAYLOADS))
@pytest.mark.parametrize("headers", [{}, {"signature": "v1g0hM"}], ids=["unsigned", "malformed"])
def test_forged_webhook_is_rejected_and_nothing_is_stored(
    senders: WebhookSenders, channel: str, headers: dict[str, str]
) -> None:
    senders.add_account(channel)
    request = senders.build_request(channel, json.dumps(PAYLOADS[channel]).encode())
    malformed = {
        name: headers.get("signature", "") for name in request.headers if name != "content-type"
    }
    forged = senders.build_request(
        channel, request.body, headers=malformed if headers else dict.fromkeys(malformed, "")
    )

    with pytest.raises(WebhookRejected):
        senders.receiver.receive(channel, "acc_1", forged)

    assert senders.list_inbound() == []
    assert senders.list_rows(Contact) == []


@pytest.mark.parametrize("channel", sorted(PAYLOADS))
def test_account_without_secrets_accepts_nothing(senders: WebhookSenders, channel: str) -> None:
    if channel == "teams":
        return  # its tokens have no secret of the account
    senders.add_account(channel, credentials={})

    with pytest.raises(WebhookRejected):
        senders.send(channel, PAYLOADS[channel])


def test_body_that_a_proxy_has_serialised_again_is_rejected(senders: WebhookSenders) -> None:
    senders.add_account("whatsapp")
    request = senders.build_request("whatsapp", json.dumps(PAYLOADS["whatsapp"]).encode())
    changed = json.dumps(PAYLOADS["whatsapp"], indent=1).encode()
    signed = {"x-hub-signature-256": request.headers["x-hub-signature-256"]}

    with pytest.raises(WebhookRejected):
        senders.receiver.receive(
            "whatsapp", "acc_1", senders.build_request("whatsapp", changed, headers=signed)
        )


def test_old_slack_request_is_rejected(senders: WebhookSenders) -> None:
    senders.add_account("slack")
    request = senders.build_request("slack", json.dumps(PAYLOADS["slack"]).encode())
    senders.clock.move(seconds=301)
    old = {name: value for name, value in request.headers.items() if name.startswith("x-slack")}

    with pytest.raises(WebhookRejected):
        senders.receiver.receive(
            "slack", "acc_1", senders.build_request("slack", request.body, headers=old)
        )


def test_account_of_another_channel_or_unknown_is_not_found(senders: WebhookSenders) -> None:
    senders.add_account("slack")
    request = senders.build_request("slack", b"{}")

    for channel, account in (("telegram", "acc_1"), ("slack", "acc_9"), ("web", "acc_1")):
        with pytest.raises(ResourceNotFound):
            senders.receiver.receive(channel, account, request)


def test_webhook_that_names_an_account_of_another_tenant_is_rejected(
    senders: WebhookSenders,
) -> None:
    secrets = {"app_secret": "the secret of another tenant"}
    senders.add_account("whatsapp", "acc_1", "t1")
    senders.add_account("whatsapp", "acc_2", "t2", credentials=secrets)

    with pytest.raises(WebhookRejected):
        senders.send("whatsapp", PAYLOADS["whatsapp"], "acc_2")


def test_webhook_with_the_number_of_another_account_stores_nothing(
    senders: WebhookSenders,
) -> None:
    senders.add_account("whatsapp", settings={"phone_number_id": "999"})

    senders.send("whatsapp", PAYLOADS["whatsapp"])

    assert senders.list_messages() == []
    assert senders.list_inbound() == []


def test_one_message_at_two_accounts_is_stored_in_both_tenants(senders: WebhookSenders) -> None:
    senders.add_account("telegram", "acc_1", "t1")
    senders.add_account("telegram", "acc_2", "t2")

    for account in ("acc_1", "acc_2"):
        senders.send("telegram", PAYLOADS["telegram"], account)

    assert {message.tenant_id for message in senders.list_messages()} == {"t1", "t2"}


def test_oversized_body_is_refused_before_it_is_parsed(senders: WebhookSenders) -> None:
    senders.add_account("generic")
    body = b'{"text": "' + b"a" * (4 * 1024 * 1024) + b'"}'

    with pytest.raises(WebhookTooLarge):
        senders.receiver.receive("generic", "acc_1", senders.build_request("generic", body))


@pytest.mark.parametrize(
    "body",
    [b"{", b"\xff", b"[" * 100_000, b'{"a":' * 100 + b"1" + b"}" * 100, b'{"a": NaN}'],
    ids=["cut", "not utf-8", "deep list", "deep object", "nan"],
)
def test_unreadable_body_is_accepted_and_kept_for_replay(
    senders: WebhookSenders, body: bytes
) -> None:
    senders.add_account("whatsapp")

    for _ in range(2):
        senders.receiver.receive("whatsapp", "acc_1", senders.build_request("whatsapp", body))

    (row,) = senders.list_inbound()
    assert (row.state, row.attempts) == ("failed", 1)
    assert row.error is not None
    assert body not in (row.raw or b"")
    assert senders.list_messages() == []


def test_id_that_no_provider_sends_is_kept_for_replay(senders: WebhookSenders) -> None:
    senders.add_account("whatsapp")

    senders.send("whatsapp", whatsapp_message(id="w" * 300, type="text", text={"body": "hi"}))

    assert [row.state for row in senders.list_inbound()] == ["failed"]


def test_failed_webhook_is_processed_by_replay(
    senders: WebhookSenders, monkeypatch: pytest.MonkeyPatch
) -> None:
    senders.add_account("telegram")
    with monkeypatch.context() as patch:
        patch.setattr(
            "backend.services.chat.domain.webhooks.reception.store_events",
            lambda *_arguments, **_named: 1 // 0,
        )
        senders.send("telegram", PAYLOADS["telegram"])
    (failed,) = senders.receiver.list_received("t1", "failed", 10, None)
    assert failed.error == "ZeroDivisionError"

    replayed = senders.receiver.replay("t1", failed.id)

    assert (replayed.state, replayed.attempts) == ("done", 1)
    assert len(senders.list_messages()) == 1
    senders.receiver.replay("t1", failed.id)
    assert len(senders.list_messages()) == 1


def test_replay_of_a_body_that_stays_unreadable_says_why(senders: WebhookSenders) -> None:
    senders.add_account("telegram")
    senders.receiver.receive("telegram", "acc_1", senders.build_request("telegram", b"{"))
    (failed,) = senders.list_inbound()

    with pytest.raises(WebhookUnreadable):
        senders.receiver.replay("t1", failed.id)

    assert senders.list_inbound()[0].state == "failed"


def test_webhook_of_another_tenant_cannot_be_replayed(senders: WebhookSenders) -> None:
    senders.add_account("telegram")
    senders.receiver.receive("telegram", "acc_1", senders.build_request("telegram", b"{"))
    (failed,) = senders.list_inbound()

    with pytest.raises(ResourceNotFound):
        senders.receiver.replay("t2", failed.id)


def test_hostile_media_url_causes_no_request(
    senders: WebhookSenders, monkeypatch: pytest.MonkeyPatch
) -> None:
    senders.add_account("twilio")
    monkeypatch.setattr("socket.socket.connect", pytest.fail)
    fields = twilio(
        NumMedia="1", MediaContentType0="image/png", MediaUrl0="http://169.254.169.254/latest"
    )

    senders.send("twilio", fields)

    assert [row.state for row in senders.list_rows(Attachment)] == ["pending"]


def test_challenges_are_answered(senders: WebhookSenders) -> None:
    senders.add_account("slack")
    senders.add_account("whatsapp", "acc_2")
    query = {"hub.mode": "subscribe", "hub.challenge": "42"}

    response = senders.send("slack", {"type": "url_verification", "challenge": "abc"})
    assert response.body == "abc"
    token = {"hub.verify_token": "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
    assert senders.receiver.confirm_subscription("whatsapp", "acc_2", query | token).body == "42"
    with pytest.raises(WebhookRejected):
        senders.receiver.confirm_subscription("whatsapp", "acc_2", query)
    with pytest.raises(WebhookRejected):
        senders.receiver.confirm_subscription("slack", "acc_1", query | token)
    assert senders.list_rows(Conversation) == []


def test_webhook_of_an_account_that_was_deleted_meanwhile_is_not_found(
    senders: WebhookSenders,
) -> None:
    senders.add_account("telegram")
    senders.send("telegram", PAYLOADS["telegram"])
    with senders.database.write("t1") as session:
        session.delete(session.query(Account).one())

    with pytest.raises(ResourceNotFound):
        senders.send("telegram", telegram(text="hi", message_id=8))
