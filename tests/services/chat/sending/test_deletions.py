"""Deletions while the worker records the outcome of a delivery."""

from concurrent.futures import ThreadPoolExecutor
from time import sleep

import pytest

from backend.services.chat.jobs.simulation.providers import SlackSimulator
from backend.services.chat.store.accounts import delete_account
from backend.services.chat.store.conversations import delete_conversation
from backend.services.chat.store.delivery_claims import get_leased_delivery
from backend.services.chat.store.hooks import delete_hook
from backend.services.chat.store.tables import Account, Conversation, Delivery, Hook
from tests.databases import database_in
from tests.services.chat.sending.harness import TENANT, open_harness

TIME_FOR_LOCKS = 0.5
DELIVERY_ID = "dlv_1"
OWNERS = {"conversation": Conversation, "account": Account, "hook": Hook}


@pytest.fixture
def harness(tmp_path):
    with SlackSimulator() as simulator, open_harness(database_in(tmp_path, "chat")) as harness:
        harness.account_id = harness.add_account(simulator)
        yield harness


@pytest.mark.parametrize("kind", OWNERS)
def test_deletion_waits_for_an_outcome(harness, kind):
    """PostgreSQL ends one of two transactions that wait for each other."""
    owner_id = add_owner(harness, kind)
    add_delivery(harness, **{f"{kind}_id": owner_id})

    def delete():
        with harness.database.write() as session:
            match kind:
                case "conversation":
                    delete_conversation(session, owner_id)
                case "account":
                    delete_account(session, TENANT, owner_id, harness.clock())
                case "hook":
                    delete_hook(session, owner_id)

    with ThreadPoolExecutor(1) as executor:
        with harness.database.write() as session:
            delivery = get_leased_delivery(session, DELIVERY_ID)
            deletion = executor.submit(delete)
            sleep(TIME_FOR_LOCKS)
            harness.clock.advance(1)
            delivery.attempts += 1
            session.get_one(OWNERS[kind], owner_id).updated_at = harness.clock()
        deletion.result(timeout=30)

    assert harness.get_deliveries() == []


def add_owner(harness, kind):
    if kind == "account":
        return harness.account_id
    if kind == "conversation":
        return harness.add_conversation(harness.account_id)
    times = {"created_at": harness.clock(), "updated_at": harness.clock()}
    with harness.database.write() as session:
        hook = Hook(id="hook_1", tenant_id=TENANT, name="CRM", url="", secret="", **times)
        session.add(hook)
        return hook.id


def add_delivery(harness, **owner):
    times = dict.fromkeys(("created_at", "updated_at", "expires_at"), harness.clock())
    with harness.database.write() as session:
        session.add(
            Delivery(
                id=DELIVERY_ID,
                tenant_id=TENANT,
                kind="event",
                state="sending",
                ref="ref_1",
                payload={},
                **owner,
                **times,
            )
        )
