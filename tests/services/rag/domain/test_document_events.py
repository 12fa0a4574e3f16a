"""Domain events of documents are stored with the change of their status."""

import pytest

from backend.chassis.messaging.outbox import Outbox
from backend.chassis.web.app_factory import get_component
from backend.services.rag.wiring import RagComponents
from tests.servers import wait_until
from tests.services.rag.conftest import ApiUser


@pytest.fixture
def app(start_app, identities):
    return start_app(identities)


@pytest.fixture
def ada(app, identities):
    return ApiUser(app, identities.bearer("user-ada"))


@pytest.fixture
def list_events(app):
    database = get_component(app, RagComponents).database
    return lambda: Outbox("rag", database, "events").list_pending_events(100)


def test_ready_document_is_published_without_its_text(ada, list_events):
    document = ada.upload("The boiler stands in room 14.", title="Boiler")

    (event,) = list_events()
    assert event.type == "rag.document-ready"
    assert (event.subject, event.key) == (document["id"], document["id"])
    data = event.data
    assert (data["owner_id"], data["title"], data["generation"]) == ("user-ada", "Boiler", 1)
    assert data["chunks"] == document["chunks"]
    assert "room 14" not in str(data)


def test_failed_document_is_published_with_its_error(ada, list_events):
    ada.send(b"%PDF-1.7\n1 0 obj\n", "broken.pdf", wait=0)
    wait_until(list_events)

    (event,) = list_events()
    assert event.type == "rag.document-failed"
    assert event.data["code"]
    assert event.data["detail"]
