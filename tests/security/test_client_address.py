"""Client addresses are taken from X-Forwarded-For only if the gateway or a service sent it."""

import pytest

from backend.security.authentication import caller_headers, get_client_address
from backend.security.service_tokens import GATEWAY_HEADER, HEADER, ServiceTokens
from tests.security.test_service_tokens import SECRET

FORWARDED = {"X-Forwarded-For": "203.0.113.7"}


@pytest.fixture
def app(app):
    @app.get("/address")
    def address():
        return {"address": get_client_address(), "forwarded": caller_headers()["X-Forwarded-For"]}

    return app


def get_address(app, headers):
    response = app.test_client().get("/address", headers=headers).json
    assert response["forwarded"] == response["address"]
    return response["address"]


@pytest.mark.parametrize(
    ("header", "sender"), [(GATEWAY_HEADER, "gateway"), (HEADER, "agent-service")]
)
def test_address_from_the_gateway_or_a_service_is_used(app, header, sender):
    token = ServiceTokens(SECRET, sender).get_token("bare")

    for _ in range(2):
        assert get_address(app, FORWARDED | {header: token}) == "203.0.113.7"


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no token"),
        pytest.param({GATEWAY_HEADER: "forged"}, id="forged token"),
        pytest.param({GATEWAY_HEADER: ""}, id="empty token"),
        pytest.param(
            {GATEWAY_HEADER: ServiceTokens("another secret", "gateway").get_token("bare")},
            id="another secret",
        ),
        pytest.param(
            {GATEWAY_HEADER: ServiceTokens(SECRET, "gateway").get_token("other")},
            id="for another service",
        ),
        pytest.param(
            {GATEWAY_HEADER: ServiceTokens(SECRET, "agent-service").get_token("bare")},
            id="gateway header of a service",
        ),
    ],
)
def test_address_from_any_other_sender_is_ignored(app, headers):
    assert get_address(app, FORWARDED | headers) == "127.0.0.1"


def test_forged_token_is_rejected_after_a_token_of_the_gateway_was_accepted():
    service = ServiceTokens(SECRET, "bare")

    assert service.is_from_gateway(ServiceTokens(SECRET, "gateway").get_token("bare"))
    assert not service.is_from_gateway(ServiceTokens("other", "gateway").get_token("bare"))
