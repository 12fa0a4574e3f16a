"""The AsyncAPI document describes every event, and is up to date."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import ValidationError

from backend.chassis.messaging import asyncapi
from tests.chassis.messaging.test_brokers import event
from tests.event_schemas import DOCUMENT, validate_event

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DOCUMENT.read_text())
    return loaded


def list_references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from list_references(item)
    elif isinstance(value, list):
        for item in value:
            yield from list_references(item)


def test_committed_document_is_up_to_date(document):
    """`python -m backend events document > docs/api/asyncapi.json` updates it."""
    assert asyncapi.build_document() == document


def test_every_reference_of_the_document_exists(document):
    for reference in list_references(document):
        value = document
        for part in reference.removeprefix("#/").split("/"):
            value = value[part]


def test_every_event_has_a_description_and_a_type_of_its_service():
    for service, events in asyncapi.load_event_types().items():
        for data in events:
            assert data.event_type.startswith(f"{service}.")
            assert data.__doc__
            assert len(data.event_type) <= 64


def test_document_describes_the_events_of_all_services(document):
    assert set(document["components"]["messages"]) == {
        *("agent.run-started", "agent.run-finished", "agent.drift-detected"),
        *("auth.user-created", "auth.user-changed", "auth.session-ended"),
        *("rag.document-ready", "rag.document-failed"),
        *("chat.message-created", "chat.message-edited", "chat.message-deleted"),
        *("chat.message-state-changed", "chat.reaction-changed", "chat.conversation-created"),
        *("chat.conversation-changed", "chat.read-moved", "chat.handed-over"),
        "chat.account-changed",
        *("packages.created", "packages.changed", "packages.deleted"),
        *("packages.event-recorded", "packages.status-changed", "packages.eta-changed"),
        "packages.investigated",
    }


@pytest.mark.parametrize(
    "change",
    [
        {"specversion": "2.0"},
        {"source": "/rag"},
        {"time": 5},
        {"partitionkey": ""},
        {"data": {"session_id": "s", "user_id": "u", "reason": "unknown"}},
        {"data": {"session_id": "s", "user_id": "u"}},
    ],
)
def test_validation_rejects_other_events(change):
    valid = event(1).to_json() | {
        "source": "/auth",
        "type": "auth.session-ended",
        "data": {"session_id": "s", "user_id": "u", "reason": "logout"},
    }
    validate_event(valid)

    with pytest.raises(ValidationError):
        validate_event(valid | change)


def test_building_the_document_does_not_import_sqlalchemy():
    code = (
        "import sys\n"
        "from backend.chassis.messaging.asyncapi import build_document\n"
        "build_document()\n"
        "assert not {'sqlalchemy', 'kombu', 'confluent_kafka'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
