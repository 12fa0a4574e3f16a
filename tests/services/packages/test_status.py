"""Status as a function of the events, and the command `replay`."""

import json
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.services.packages.__main__ import main
from backend.services.packages.domain.event_input import EventContext, EventInput, build_event
from backend.services.packages.domain.status import compute_state, select_content
from backend.services.packages.model import EventCode, Location, Reason

CONTEXT = EventContext("pkg_1", "ups", "1Z5R89390357567127", "api", None)
START = datetime(2026, 6, 1, tzinfo=UTC)


def build(code: str, hours: float = 0, **fields):
    time = (START + timedelta(hours=hours)).isoformat()
    return build_event(EventInput(code, time, **fields), CONTEXT)[0]


def find_status(*codes: str) -> str:
    return str(compute_state(build(code, hour) for hour, code in enumerate(codes)).status)


@pytest.mark.parametrize(
    ("codes", "status"),
    [
        ((), "pre_transit"),
        (("announced",), "pre_transit"),
        (("picked_up", "announced"), "in_transit"),
        (("departed", "note"), "in_transit"),
        (("out_for_delivery", "delayed"), "out_for_delivery"),
        (("delivery_attempted",), "attempted"),
        (("customs_held",), "exception"),
        (("customs_held", "customs_released"), "in_transit"),
        (("lost",), "exception"),
        (("expired",), "expired"),
        (("delivered", "arrived", "exception", "cancelled"), "delivered"),
        (("cancelled", "departed"), "cancelled"),
        (("delivered", "return_started"), "returning"),
        (("delivered", "return_started", "departed", "out_for_delivery"), "returning"),
        (("return_started", "delivered"), "returned"),
        (("delivered", "returned", "departed"), "returned"),
        (("return_started", "exception"), "exception"),
        (("return_started", "customs_held", "customs_released", "arrived"), "returning"),
        (("return_started", "lost", "arrived", "delivery_attempted", "delivered"), "returned"),
        (("lost", "arrived"), "in_transit"),
        (("expired", "delivered"), "delivered"),
    ],
)
def test_status_follows_from_the_codes(codes, status):
    assert find_status(*codes) == status


def test_correction_removes_an_event():
    delivered = build("delivered", 5, external_id="scan-7")
    moving = build("out_for_delivery", 4)

    state = compute_state([build("note", 6, corrects="scan-7"), delivered, moving])

    assert (state.status, state.delivered_at) == ("out_for_delivery", None)


@pytest.mark.parametrize(
    ("corrections", "status"),
    [
        ({"b": "a"}, "out_for_delivery"),
        ({"b": "a", "c": "b"}, "delivered"),
        ({"b": "a", "c": "b", "d": "c"}, "out_for_delivery"),
        ({"b": "a", "c": "a", "d": "b"}, "out_for_delivery"),
        ({"a": "b", "b": "a"}, "out_for_delivery"),
        ({"a": "a"}, "delivered"),
        ({"b": "unknown"}, "delivered"),
    ],
)
def test_correction_that_is_corrected_corrects_nothing(corrections, status):
    events = [build("out_for_delivery", 4)]
    events.append(build("delivered", 5, external_id="a", corrects=corrections.get("a")))
    events += [
        build("note", 6, external_id=name, corrects=corrections.get(name))
        for name in ("b", "c", "d")
    ]

    assert {str(compute_state(order).status) for order in permutations(events)} == {status}


EVENTS = st.builds(
    build,
    st.sampled_from([str(code) for code in EventCode] + ["FOO"]),
    st.integers(0, 4),
    location=st.sampled_from([None, Location(code="DEFRA"), Location(code="USPDX")]),
    reason=st.sampled_from([None, Reason.DAMAGED, Reason.WEATHER]),
    detail=st.sampled_from([None, "a", "b"]),
    external_id=st.sampled_from([None, None, "1", "2"]),
    sequence=st.sampled_from([None, 1, 2]),
    corrects=st.sampled_from([None, None, None, "1", "2"]),
)


@given(st.lists(EVENTS, max_size=12), st.data())
def test_any_order_with_repetitions_gives_the_same_state(events, data):
    repeated = events + data.draw(
        st.lists(st.sampled_from(events), max_size=6) if events else st.just([])
    )
    shuffled = data.draw(st.permutations(repeated))

    assert compute_state(shuffled) == compute_state(events)


@given(st.lists(EVENTS, max_size=8), st.data())
def test_adding_events_one_by_one_gives_the_same_state(events, data):
    """Only the selected content of each key is stored, as in the tables."""
    stored = {}
    for each in data.draw(st.permutations(events)):
        known = stored.get(each.key)
        stored[each.key] = each if known is None else select_content(known, each)

    assert compute_state(stored.values()) == compute_state(events)


def test_replay_prints_the_same_package_for_any_order(tmp_path, capsys):
    lines = [
        {"code": "DP", "occurred_at": "2026-06-01T10:00:00", "location": {"code": "FRA"}},
        {"code": "delivered", "occurred_at": "2026-06-02T10:00:00Z", "external_id": "x"},
        {"code": "arrived", "occurred_at": "2026-06-02T11:00:00Z"},
    ]
    outputs = []
    for order in (lines, lines[::-1] + lines):
        file = tmp_path / "events.jsonl"
        file.write_text("".join(f"{json.dumps(line)}\n" for line in order))
        assert main(["replay", str(file)]) == 0
        outputs.append(capsys.readouterr().out)

    package = json.loads(outputs[0])
    assert outputs[0] == outputs[1]
    assert (package["status"], package["event_count"]) == ("delivered", 3)
    assert package["delivered_at"] == "2026-06-02T10:00:00Z"
    assert package["last_event"]["code"] == "arrived"


def test_replay_reports_bad_lines_with_their_numbers(tmp_path, capsys):
    file = tmp_path / "events.jsonl"
    file.write_text(
        '{"code": "picked_up", "occurred_at": "2026-06-01T10:00:00Z"}\n'
        "{\n\n[1]\n"
        '{"code": "arrived", "occurred_at": "2026-06-31T10:00:00Z"}\n'
    )

    status = main(["replay", str(file)])

    printed = capsys.readouterr()
    assert status == 1
    assert [line.split(":")[0] for line in printed.err.splitlines()] == [
        "line 2",
        "line 4",
        "line 5",
    ]
    assert json.loads(printed.out)["status"] == "in_transit"


def test_replay_states_the_reason_of_each_bad_line(tmp_path, capsys):
    good = '"code": "arrived", "occurred_at": "2026-06-01T10:00:00Z"'
    lines = [
        f"{{{good}}}",
        f'{{{good}, "sequence": {"9" * 5_000}}}',
        f'{{{good}, "tracking_number": {{}}}}',
        f'{{{good}, "carrier": ["ups"]}}',
        f'{{{good}, "received_at": true}}',
        f'{{{good}, "detail": NaN}}',
        '{"code": "arrived"}',
    ]
    file = tmp_path / "events.jsonl"
    file.write_text("\ufeff" + "\n".join(lines), "utf-8")

    status = main(["replay", str(file)])

    printed = capsys.readouterr()
    assert status == 1
    assert json.loads(printed.out)["event_count"] == 1
    assert printed.err.splitlines() == [
        "line 2: The line has a number of more than 4300 digits.",
        "line 3: tracking_number: Write a text.",
        "line 4: carrier: Write a text.",
        "line 5: received_at: Write a text.",
        "line 6: The line is not JSON: expected value at column 70.",
        "line 7: occurred_at: Field required",
    ]
