"""Routes for deliveries."""

import pytest

from backend.services.chat.domain.new_messages import NewMessage
from backend.services.chat.store.tables import Account, Conversation
from tests.services.chat.conftest import TEAM


@pytest.fixture
def queue(components):
    """Return a function that queues a message to a Telegram chat."""

    def queue_message(text, tenant_id=TEAM):
        now = components.now()
        with components.database.write(tenant_id) as session:
            if session.get(Account, f"acct-{tenant_id}") is None:
                session.add(
                    Account(
                        id=f"acct-{tenant_id}",
                        tenant_id=tenant_id,
                        channel="telegram",
                        name="Bot",
                        created_at=now,
                        updated_at=now,
                    )
                )
                session.flush()
                session.add(
                    Conversation(
                        id=f"conv-{tenant_id}",
                        tenant_id=tenant_id,
                        account_id=f"acct-{tenant_id}",
                        channel="telegram",
                        key="chat:1",
                        created_at=now,
                        updated_at=now,
                    )
                )
                session.flush()
            conversation = session.get_one(Conversation, f"conv-{tenant_id}")
            new = NewMessage("outbound", "agent", {"type": "text", "text": text})
            return components.message_log.add_message(session, conversation, new)[0].id

    return queue_message


def test_deliveries_are_listed_latest_first_in_pages(client, colleague, queue):
    message_ids = [queue(f"message {number}") for number in range(3)]
    queue("of another tenant", "tenant-other")

    first = client.get("/deliveries?limit=2", headers=colleague).json
    second = client.get(
        f"/deliveries?limit=2&cursor={first['next_cursor']}", headers=colleague
    ).json

    listed = [item["message_id"] for item in [*first["items"], *second["items"]]]
    assert listed == message_ids[::-1]
    assert first["items"][0]["state"] == "queued"
    assert client.get("/deliveries?state=failed", headers=colleague).json["items"] == []
    assert client.get("/deliveries?state=lost", headers=colleague).status_code == 422


def test_waiting_delivery_can_be_cancelled_and_sent_again(client, manager, queue):
    message_id = queue("Hello")
    (item,) = client.get("/deliveries", headers=manager).json["items"]

    cancelled = client.post(f"/deliveries/{item['id']}/cancel", headers=manager)
    again = client.post(f"/deliveries/{item['id']}/cancel", headers=manager)
    retried = client.post(f"/deliveries/{item['id']}/retry", headers=manager)

    assert (cancelled.status_code, cancelled.json["state"]) == (200, "cancelled")
    assert (again.status_code, again.json["code"]) == (409, "delivery_state")
    assert (retried.status_code, retried.json["state"]) == (200, "queued")
    assert retried.json["message_id"] == message_id


def test_delivery_of_another_tenant_is_not_found(client, manager, queue, components):
    queue("of another tenant", "tenant-other")
    with components.database.across_tenants().read() as session:
        from backend.services.chat.store.tables import Delivery

        delivery_id = session.query(Delivery.id).scalar()

    for action in ("retry", "cancel"):
        response = client.post(f"/deliveries/{delivery_id}/{action}", headers=manager)
        assert response.status_code == 404


def test_users_read_no_deliveries_and_colleagues_decide_about_none(client, ada, colleague):
    assert client.get("/deliveries", headers=ada).status_code == 403
    assert client.post("/deliveries/dlv_1/retry", headers=colleague).status_code == 403
