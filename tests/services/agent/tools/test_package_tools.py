"""Questions about packages are answered without a language model from the packages service."""

from dataclasses import replace

import pytest

from backend.services.agent.app import create_app
from backend.services.agent.domain.rule_based.rules import match_rule
from tests.services.agent.fakes import WordEmbedder, post_query, run_server

PACKAGE = {
    "id": "pkg_0193abcdef0123456789",
    "tracking_number": "SLOW000001",
    "carrier": "ups",
    "status": "in_transit",
    "late": True,
    "promised_at": "2026-06-10T08:00:00Z",
}
EVENTS = [
    {"id": "evt_1", "code": "departed", "occurred_at": "2026-06-08T08:00:00Z"},
    {
        "id": "evt_2",
        "code": "arrived",
        "occurred_at": "2026-06-14T08:00:00Z",
        "location": {"name": "Portland [dock 4]"},
    },
]


class FakePackagesService:
    """The routes of the packages service that the agent calls; they know one package."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.url = ""

    def handle_request(self, handler) -> None:
        path, _, query = handler.path.partition("?")
        self.requests.append((handler.command, handler.path, dict(handler.headers)))
        if path == "/packages":
            known = "tracking_number" not in query or "SLOW000001" in query
            return handler.send_json(
                200, {"items": [PACKAGE] if known and "q=" not in query else []}
            )
        if path.endswith("/events"):
            return handler.send_json(200, {"items": EVENTS})
        if path.startswith(("/agents/investigate/", "/agents/predict/")):
            handler.read_json()
            text = [{"text": f"Result of {path.split('/')[2]}.", "event_ids": ["evt_1", "evt_2"]}]
            return handler.send_json(200, {"text": text})
        return handler.send_json(404, {"code": "not_found", "detail": "Not found."})


@pytest.fixture
def packages_service():
    with run_server(FakePackagesService()) as service:
        yield service


@pytest.fixture
def client(settings, packages_service, identities):
    settings = replace(settings, packages_urls=(packages_service.url,))
    return identities.trust(create_app(settings, embedder=WordEmbedder())).test_client()


def test_why_is_a_package_late_is_answered_with_its_events(client, ada, packages_service):
    response = post_query(client, ada, "Why is package SLOW000001 late?")
    assert response.status_code == 200
    answer = str(response.json)
    assert "Result of investigate. [1][2]" in answer
    page = f"/console/packages/{PACKAGE['id']}?event=evt_2"
    assert f"[2] [2026-06-14T08:00:00Z arrived Portland (dock 4)]({page})" in answer
    # The service decides with the caller's own token.
    assert all(
        headers["Authorization"] == ada["Authorization"]
        for _, _, headers in packages_service.requests
    )
    assert ("POST", f"/agents/investigate/delay/{PACKAGE['id']}") in [
        request[:2] for request in packages_service.requests
    ]


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("When will SLOW000001 arrive?", "Result of predict."),
        ("What is wrong with SLOW000001?", "Result of investigate."),
        ("Where is package SLOW000001?", "in_transit, late"),
        ("Which packages are late?", f"[SLOW000001](/console/packages/{PACKAGE['id']}) (ups)"),
        ("Warum ist Paket SLOW000001 verspätet?", "Result of investigate."),
        ("Was stimmt mit Paket SLOW000001 nicht?", "Result of investigate."),
        ("Wann kommt Paket SLOW000001 an?", "Result of predict."),
        ("Wo ist meine Sendung SLOW000001?", "in_transit, late"),
        ("Why is package NONE0000001 late?", "There is no package NONE0000001."),
    ],
)
def test_question_about_a_package_is_answered(client, ada, question, text):
    assert text in str(post_query(client, ada, question).json)


def test_caller_without_the_permission_gets_no_package(client, identities, packages_service):
    bearer = identities.bearer("user-eve", permissions=("agent:query", "rag:read"))
    answer = str(post_query(client, bearer, "Why is package SLOW000001 late?").json)
    assert "Result of" not in answer
    assert packages_service.requests == []


@pytest.mark.parametrize("request_text", ["Why is the train late?", "Where is my order?"])
def test_question_without_a_number_is_not_about_a_package(request_text):
    assert match_rule(request_text) is None
