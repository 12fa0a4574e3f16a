"""Drift of answers: forwarded from the agent service."""

SERIES = {
    "name": "latency",
    "unit": "seconds",
    "status": "drift",
    "hour": "2026-05-04T10:00:00Z",
    "window_hours": 1,
    "requests": 210,
    "value": 9.0,
    "expected": 2.0,
    "basis": "hour_of_week",
    "score": 12.5,
    "change": 3.5,
    "since": "2026-05-04T09:00:00Z",
    "severity": "critical",
    "missing_hours": None,
    "hours": [{"hour": "2026-05-04T10:00:00Z", "value": 9.0, "expected": 2.0}],
}
FINDING = {
    "id": "drift_1",
    "series": "latency",
    "kind": "jump",
    "hour": "2026-05-04T10:00:00Z",
    "found_at": "2026-05-04T11:03:00Z",
    "notified": True,
    "value": 9.0,
    "expected": 2.0,
    "change": 3.5,
    "basis": "hour_of_week",
    "requests": 210,
}


def test_drift_is_requested_from_the_agent_with_the_callers_credentials(client, admin, services):
    services["agent"].documents["/drift"] = {"series": [SERIES], "findings": [FINDING]}

    response = client.get("/drift", headers=admin)

    assert response.status_code == 200
    assert response.json == {"series": [SERIES], "findings": [FINDING]}
    (request,) = services["agent"].requests
    assert dict(request["headers"])["Authorization"] == admin["Authorization"]


def test_invalid_response_of_the_agent_returns_503(client, admin, services):
    services["agent"].documents["/drift"] = {"series": "many"}

    response = client.get("/drift", headers=admin)

    assert (response.status_code, response.json["code"]) == (503, "drift_unavailable")
    assert response.headers["Retry-After"]


def test_unavailable_agent_returns_503(client, admin, services):
    services["agent"].stop()

    assert client.get("/drift", headers=admin).json["code"] == "drift_unavailable"


def test_drift_requires_system_read(client, identities):
    assert client.get("/drift").status_code == 401
    assert client.get("/drift", headers=identities.bearer()).status_code == 403
