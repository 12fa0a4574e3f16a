"""Validation of events against the committed AsyncAPI document."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from backend.chassis.messaging.outbox import EventRecorder
from backend.chassis.messaging.publishing import to_cloud_event

DOCUMENT = Path(__file__).parents[1] / "docs" / "api" / "asyncapi.json"


@cache
def _get_validators() -> dict[str, Draft202012Validator]:
    components = json.loads(DOCUMENT.read_text())["components"]
    # References start with `#/components/schemas/`.
    return {
        name: Draft202012Validator(message["payload"] | {"components": components})
        for name, message in components["messages"].items()
    }


def validate_event(event: dict[str, Any]) -> None:
    """Raise an exception unless *event* is as the document describes its type."""
    _get_validators()[event["type"]].validate(event)


def validate_recorded_events() -> None:
    """Validate every domain event that a service of the suite records in this process."""
    add_event = EventRecorder.add_event

    def validate_and_add(recorder: EventRecorder, session, event, channel) -> None:
        if channel == "events" and recorder._service in ("auth", "agent", "rag", "packages"):
            validate_event(to_cloud_event(recorder._service, event).to_json())
        add_event(recorder, session, event, channel)

    pytest.MonkeyPatch().setattr(EventRecorder, "add_event", validate_and_add)
