"""Questions about packages are answered without a language model from the packages service."""
# ruff: noqa: RUF001 - non-Latin letters are intended

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
        self.packages = [PACKAGE]

    def handle_request(self, handler) -> None:
        path, _, query = handler.path.partition("?")
        self.requests.append((handler.command, handler.path, dict(handler.headers)))
        if path == "/packages":
            known = "tracking_number" not in query or "SLOW000001" in query
            return handler.send_json(
                200, {"items": self.packages if known and "q=" not in query else []}
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
    assert "Result of investigate. (1)(2)" in answer
    page = f"/console/packages/{PACKAGE['id']}?event=evt_2"
    assert f"(2) [2026-06-14T08:00:00Z arrived Portland (dock 4)]({page})" in answer
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
        ("How many packages are late?", "1 package:"),
        ("¿Dónde está el paquete SLOW000001?", "in_transit, late"),
        ("Pourquoi le colis SLOW000001 est-il en retard ?", "Result of investigate."),
        ("Когда придёт посылка SLOW000001?", "Result of predict."),
        ("पार्सल SLOW000001 कहाँ है?", "in_transit, late"),
        ("包裹SLOW000001在哪里？", "in_transit, late"),
        ("Is SLOW000001 late?", "in_transit, late"),
        ("Why is package NONE0000001 late?", "There is no package NONE0000001."),
    ],
)
def test_question_about_a_package_is_answered(client, ada, question, text):
    assert text in str(post_query(client, ada, question).json)


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("Why is package SLOW000001 late?", "en"),
        ("Warum ist das Paket SLOW000001 verspätet?", "de"),
    ],
)
def test_investigation_is_requested_in_the_language_of_the_question(
    client, ada, packages_service, question, language
):
    post_query(client, ada, question)

    languages = [
        headers["Accept-Language"]
        for _, path, headers in packages_service.requests
        if "/investigate/" in path
    ]
    assert languages == [language]


def test_list_of_packages_counts_those_that_it_does_not_show(client, ada, packages_service):
    packages_service.packages = [
        PACKAGE | {"id": f"pkg_{index:020}", "tracking_number": f"SLOW{index:06}"}
        for index in range(12)
    ]

    answer = post_query(client, ada, "Which packages are late?").json["response"]

    assert answer.startswith("12 packages, the newest 10 of them:")
    assert answer.count("- [SLOW") == 10


def test_caller_without_the_permission_gets_no_package(client, identities, packages_service):
    bearer = identities.bearer("user-eve", permissions=("agent:query", "rag:read"))
    answer = str(post_query(client, bearer, "Why is package SLOW000001 late?").json)
    assert "Result of" not in answer
    assert packages_service.requests == []


@pytest.mark.parametrize(
    ("request_text", "tool", "package"),
    [
        ("Where is package ORDER-77?", "get_package", "ORDER-77"),
        ("What is the status of shipment 2026-0042?", "get_package", "2026-0042"),
        ("Perché il pacco RR123456785DE è in ritardo?", "investigate_package", "RR123456785DE"),
        ("Onde está a encomenda RR123456785DE?", "get_package", "RR123456785DE"),
        ("Γιατί αργεί το δέμα RR123456785DE;", "investigate_package", "RR123456785DE"),
        ("De ce întârzie coletul RR123456785DE?", "investigate_package", "RR123456785DE"),
        ("RR123456785DE numaralı kargom nerede?", "get_package", "RR123456785DE"),
        ("Tại sao kiện hàng RR123456785DE bị trễ?", "investigate_package", "RR123456785DE"),
        ("أين الطرد RR123456785DE؟", "get_package", "RR123456785DE"),
        ("包裹RR123456785DE什么时候到？", "predict_package", "RR123456785DE"),
    ],
)
def test_questions_about_packages_are_recognised_in_many_languages(request_text, tool, package):
    call = match_rule(request_text)

    assert call is not None
    assert (call.tool, call.arguments) == (tool, {"package": package})


@pytest.mark.parametrize(
    "request_text",
    [
        "Why is the train late?",
        "Where is my order?",
        "Where is invoice RE20240001?",
        "What is RR123456785DE?",
        "How many packages are in the box?",
        "Which packages does the language have?",
        "What is the status of ORDER-77?",
        "What is a package?",
    ],
)
def test_other_questions_are_not_about_packages(request_text):
    assert match_rule(request_text) is None
