"""No parsed body makes a normaliser raise, and every event can be stored."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.services.chat.domain.channels.fields import InvalidPayload, Json
from backend.services.chat.domain.channels.payloads import parse_payload
from backend.services.chat.domain.channels.registry import CHANNELS, build_dedup_key

FOLDER = Path(__file__).parents[4] / "data" / "channels"
ENTRIES: list[dict[str, Any]] = json.loads((FOLDER / "manifest.json").read_bytes())
PAYLOADS = [
    (entry["channel"], parse_payload((FOLDER / entry["file"]).read_bytes())) for entry in ENTRIES
]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3)
    ),
    max_leaves=6,
)


def check_events(channel: str, payload: dict[str, Json]) -> None:
    events = CHANNELS[channel].normalise(payload, {})
    assert events
    for event in events:
        text = json.dumps(event.to_json(), allow_nan=False)
        json.dumps(dict(event.context), allow_nan=False).encode()
        text.encode()
        assert len(build_dedup_key(event)) <= 255
        for name in ("at", "watermark"):
            assert TIME.fullmatch(str(event.fields.get(name, "2026-01-01T00:00:00Z")))


@pytest.mark.parametrize("channel", sorted(CHANNELS))
@given(payload=st.dictionaries(st.text(max_size=10), VALUES, max_size=5))
@settings(max_examples=20)
def test_normaliser_returns_events_for_any_object(channel: str, payload: dict[str, Json]) -> None:
    check_events(channel, payload)


@given(data=st.data())
@settings(max_examples=150)
def test_normaliser_returns_events_if_values_are_replaced(data: st.DataObject) -> None:
    channel, payload = data.draw(st.sampled_from(PAYLOADS))
    changed = json.loads(json.dumps(payload))
    for _ in range(data.draw(st.integers(1, 3))):
        replace_value(changed, data)

    check_events(channel, changed)


def replace_value(value: Any, data: st.DataObject) -> None:
    """Replace or remove one value somewhere below *value*."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = data.draw(st.sampled_from(keys))
        if isinstance(value[key], dict | list) and value[key] and data.draw(st.integers(0, 3)):
            value = value[key]
            continue
        if data.draw(st.booleans()):
            value[key] = data.draw(VALUES)
        else:
            del value[key]
        return


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'"text"',
        b"{",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": "\xff"}',
        b'{"a":' * 2_000 + b"1" + b"}" * 2_000,
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' + b"9" * 5_000 + b"}",
        b"&&&",
        b"payload=%7B%22type",
        b"a=1&" * 2_000 + b"b=2",
    ],
    ids=range(13),
)
def test_unreadable_body_is_rejected(body: bytes) -> None:
    with pytest.raises(InvalidPayload):
        parse_payload(body)


def test_nul_and_lone_surrogates_are_removed() -> None:
    payload = parse_payload(b'{"te\\u0000xt": "a\\u0000b\\ud800c", "n": 1e999}')

    assert payload == {"text": "ab?c", "n": None}
