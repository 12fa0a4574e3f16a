"""Answers of the packages service for tests of the console's screens."""

from typing import Any

from tests.services.console.browser.static_pages import list_page

FRANKFURT = {"name": "Frankfurt", "country": "DE", "code": "DEFRA", "lat": 50.1, "lon": 8.7}
SINGAPORE = {"name": "Singapore", "country": "SG", "code": "SGSIN", "lat": 1.3, "lon": 103.8}
PORTLAND = {"name": "Portland", "country": "US", "code": "USPDX", "lat": 45.5, "lon": -122.7}
PLACES = (
    FRANKFURT,
    PORTLAND,
    SINGAPORE,
    {"name": "New York", "country": "US", "code": "USNYC", "lat": 40.7, "lon": -74.0},
    {"name": "Shanghai", "country": "CN", "code": "CNSHA", "lat": 31.2, "lon": 121.5},
    {"name": "São Paulo", "country": "BR", "code": "BRSAO", "lat": -23.5, "lon": -46.6},
    {"name": "Mumbai", "country": "IN", "code": "INBOM", "lat": 19.1, "lon": 72.9},
    {"name": "Sydney", "country": "AU", "code": "AUSYD", "lat": -33.9, "lon": 151.2},
)
ETA = {
    "p10": "2026-11-29T08:00:00Z",
    "p50": "2026-11-30T12:00:00Z",
    "p90": "2026-12-02T12:00:00Z",
    "late_probability": 0.83,
    "basis": {"samples": 41, "group": "lane_slack code:DEFRA>code:USPDX|2"},
}


def event(number: int, code: str, **changes: Any) -> dict[str, Any]:
    """Return an event of `GET /packages/{id}/events`."""
    return {
        "id": f"evt_{number}",
        "code": code,
        "occurred_at": f"2026-11-{10 + number:02}T08:00:00Z",
        "location": FRANKFURT,
        "reason": None,
        "detail": None,
        "raw_code": None,
        "local_time": f"2026-11-{10 + number:02}T09:00:00+01:00",
        "time_basis": "offset",
        "received_at": f"2026-11-{10 + number:02}T08:01:00Z",
        "external_id": None,
        "corrects": None,
        "source": "api",
    } | changes


EVENTS = [
    event(1, "picked_up"),
    event(2, "departed", raw_code="DP"),
    event(3, "customs_held", reason="customs_documents", detail="An invoice is missing."),
    event(4, "arrived", location=PORTLAND, local_time="2026-11-14T00:00:00", time_basis="assumed"),
]


def package(number: int = 1, **changes: Any) -> dict[str, Any]:
    """Return a package, by default a late one on its way."""
    return {
        "id": f"pkg_{number}",
        "tracking_number": f"1Z5R8939035756{number:04}",
        "carrier": "ups",
        "status": "in_transit",
        "sub_status": None,
        "reference": f"order-{number}",
        "origin": FRANKFURT,
        "destination": PORTLAND,
        "service": "express",
        "weight_g": 1250,
        "shipped_at": "2026-11-10T08:00:00Z",
        "promised_at": "2026-11-28T17:00:00Z",
        "started_at": "2026-11-11T08:00:00Z",
        "delivered_at": None,
        "late": True,
        "eta": ETA,
        "last_event": {key: EVENTS[3][key] for key in EVENTS[3] if key in _SUMMARY},
        "event_count": len(EVENTS),
        "tags": ["fragile", "express"],
        "metadata": {"order": "Instandhaltungsvereinbarung-Pumpstation-Nordwest"},
        "version": 3,
        "created_by": "user-1",
        "created_at": "2026-11-10T07:00:00Z",
        "updated_at": "2026-11-14T08:01:00Z",
    } | changes


_SUMMARY = ("id", "code", "occurred_at", "location", "reason", "detail", "raw_code")
DELIVERED = package(
    2,
    status="delivered",
    late=False,
    eta=None,
    delivered_at="2026-11-20T10:00:00Z",
    reference=None,
    tags=[],
    metadata={},
)


def investigation(kind: str = "delay", **changes: Any) -> dict[str, Any]:
    """Return an investigation with a finding and a table of steps."""
    lost = "Most time was lost between departed and arrived: 2.0 days instead of 10.0 h."
    return {
        "id": f"inv_{kind}",
        "package_id": "pkg_1",
        "kind": kind,
        "state": "done",
        "findings": [
            {
                "kind": "lost_time",
                "severity": "warning",
                "statement": lost,
                "event_ids": ["evt_2", "evt_4"],
                "evidence": {"value": 48.0, "expected": 10.0},
            },
            {
                "kind": "stalled",
                "severity": "critical",
                "statement": "Nothing was reported for 15.0 days after arrived.",
                "event_ids": ["evt_4"],
                "evidence": {
                    "value": 360.0,
                    "expected": 12.0,
                    "p95": 40.0,
                    "samples": 41,
                    "group": "lane code:DEFRA>code:USPDX",
                },
            },
        ],
        "figures": {
            "late_hours": 24.0,
            "steps": [
                {
                    "step": "departed>arrived",
                    "hours": 48.0,
                    "event_ids": ["evt_2", "evt_4"],
                    "usual_hours": 10.0,
                    "late_probability_before": 0.2,
                    "late_probability_after": 0.83,
                }
            ],
        },
        "text": [
            {"text": "Package 1Z5R89390357560001 (ups) is late.", "event_ids": ["evt_4"]},
            {"text": lost, "event_ids": ["evt_2", "evt_4"]},
        ],
        "text_source": "templates",
        "requested_by": "user-1",
        "created_at": "2026-11-29T09:00:00Z",
        "completed_at": "2026-11-29T09:00:00Z",
    } | changes


def position(number: int, **changes: Any) -> dict[str, Any]:
    """Return an item of `GET /packages/positions`."""
    return {
        "id": f"pkg_{number}",
        "tracking_number": f"1Z5R8939035756{number:04}",
        "carrier": "ups",
        "status": "in_transit",
        "late": False,
        "code": "arrived",
        "occurred_at": "2026-11-14T08:00:00Z",
        "place": PORTLAND,
        "lat": 45.5,
        "lon": -122.7,
        "origin": FRANKFURT,
        "destination": {"name": "Tokyo", "country": "JP", "lat": 35.7, "lon": 139.7},
    } | changes


STATS: dict[str, Any] = {
    "total": 420,
    "late": 46,
    "by_status": {"in_transit": 300, "delivered": 100, "exception": 20},
    "by_carrier": {"ups": 400, "deutsche_post": 20},
    "carriers": [
        {"carrier": "ups", "packages": 400, "late": 40},
        {"carrier": "deutsche_post", "packages": 20, "late": 6},
    ],
    "lanes": [
        {"origin": "code:DEFRA", "destination": "code:USPDX", "packages": 120, "late": 30},
        {"origin": "place:de:60313", "destination": "place:us:portland", "packages": 9, "late": 0},
    ],
    "on_time_rate": 0.91,
    "days": [
        {
            "date": f"2026-11-{day:02}",
            "delivered": 10,
            "promised": 8,
            "on_time": 7,
            "transit_p50_hours": 60.0 + day,
            "transit_p90_hours": 90.0 + day,
        }
        for day in range(1, 15)
    ],
    "prediction": {
        "predictions": 320,
        "error_hours": 9.4,
        "planned_error_hours": 31.0,
        "coverage": 0.81,
    },
}
ANSWERS: dict[str, Any] = {
    "GET /packages": list_page(
        [package(), DELIVERED, package(3, status="exception", sub_status="damaged")]
    ),
    "GET /packages/pkg_1": package(),
    "GET /packages/pkg_1/events": list_page(EVENTS),
    "GET /api/v1/agents/investigations/pkg_1": {
        "items": [investigation(), investigation("anomaly")]
    },
    "GET /packages/positions": {
        "items": [
            *(position(number) for number in range(1, 4)),
            position(4, lat=50.1, lon=8.7, place=FRANKFURT, late=True),
            position(5, lat=-33.9, lon=151.2, place={"name": "Sydney"}, status="exception"),
        ],
        "without_position": 7,
        "complete": False,
    },
    "GET /packages/stats": STATS,
}
