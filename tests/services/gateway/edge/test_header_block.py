"""The gateway's header policy for requests."""

import pytest

from backend.chassis.web.http1.errors import InvalidRequest
from backend.services.gateway.edge.header_block import create_header_parser


def parse_block(*lines):
    return create_header_parser().parse_block("\r\n".join(["Host: a", *lines]).encode("latin-1"))


def test_internal_headers_and_names_with_underscores_are_not_forwarded():
    block = parse_block(
        "Content_Length: 99", "X_User_ID: 1", "X-User-ID: 1", "X-Internal-A: 1", "Via: x"
    )

    assert block.forwarded_lines == ["Via: x\r\n"]


def test_credentials_are_parsed_and_forwarded():
    block = parse_block("Authorization: Bearer t", "Origin: https://a", "User-Agent: x")

    assert len(block.forwarded_lines) == 3
    assert block.headers["authorization"] == "Bearer t"


@pytest.mark.parametrize(
    "name",
    ["Authorization", "X-API-Key", "X-Tenant-ID", "Content-Type", "Idempotency-Key", "Origin"],
)
def test_repeated_header_that_the_gateway_evaluates_is_rejected(name):
    with pytest.raises(InvalidRequest) as error:
        parse_block(f"{name}: a", f"{name}: b")

    assert error.value.status == 400
