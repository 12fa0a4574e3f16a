"""Recorded webhooks of the providers, and the events that are expected for each."""

import json
from pathlib import Path
from typing import Any

import pytest

from backend.services.chat.domain.channels.payloads import parse_payload
from backend.services.chat.domain.channels.registry import CHANNELS

FOLDER = Path(__file__).parents[4] / "data" / "channels"
ENTRIES: list[dict[str, Any]] = json.loads((FOLDER / "manifest.json").read_bytes())


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["file"])
def test_recorded_payload_has_the_expected_events(entry: dict[str, Any]) -> None:
    payload = parse_payload((FOLDER / entry["file"]).read_bytes())

    events = CHANNELS[entry["channel"]].normalise(payload, entry["account"])

    assert [event.to_json() for event in events] == entry["expect"]
