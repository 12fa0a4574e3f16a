"""Signatures of webhooks: recorded vectors, rotation of secrets, malformed headers."""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.security.standard_webhooks import verify_webhook
from backend.services.chat.domain.signatures import (
    build_twilio_urls,
    verify_meta,
    verify_secret_token,
    verify_slack,
    verify_twilio,
)

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[3] / "data" / "channels" / "signatures.json").read_bytes()
)
NOW = 1_700_000_000
BODY = '{"text":"Grüße 🤨 \\u00e4 \\/"}'.encode()


def verify(vector: dict[str, Any]) -> bool:
    scheme, signature = vector["scheme"], vector["signature"]
    body = vector.get("body", "").encode()
    if scheme == "slack":
        return verify_slack([vector["secret"]], vector["timestamp"], signature, body, vector["now"])
    if scheme == "meta":
        return verify_meta([vector["secret"]], signature, body)
    if scheme == "standard":
        return verify_webhook(
            [vector["secret"]], vector["id"], vector["timestamp"], signature, body, vector["now"]
        )
    return verify_twilio(
        [vector["token"]],
        [vector["token"]],
        build_twilio_urls(vector["url"]),
        [(name, value) for name, value in vector["params"]],
        None,
        signature,
        vector.get("settings"),
    )


@pytest.mark.parametrize(
    "vector", VECTORS, ids=lambda vector: f"{vector['scheme']}: {vector['name']}"
)
def test_signature_vector(vector: dict[str, Any]) -> None:
    assert verify(vector) is vector["valid"]


def sign_meta(secret: str, body: bytes) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, "sha256").hexdigest()


def sign_slack(secret: str, body: bytes, timestamp: int = NOW) -> str:
    message = b"v0:" + str(timestamp).encode() + b":" + body
    return "v0=" + hmac.new(secret.encode(), message, "sha256").hexdigest()


def sign_twilio(token: str, url: str, fields: dict[str, str], algorithm: str = "sha1") -> str:
    text = url + "".join(name + fields[name] for name in sorted(fields))
    return base64.b64encode(hmac.digest(token.encode(), text.encode(), algorithm)).decode()


def test_old_and_new_secret_are_valid_while_rotating() -> None:
    for secret in ("old", "new"):
        assert verify_meta(["old", "new"], sign_meta(secret, BODY), BODY)
        assert verify_slack(["old", "new"], str(NOW), sign_slack(secret, BODY), BODY, NOW)
        assert verify_secret_token(["old", "new"], secret)
        signature = sign_twilio(secret, "https://chat.example/w", {})
        assert verify_twilio(["old", "new"], [], ["https://chat.example/w"], [], None, signature)


def test_empty_secrets_are_refused() -> None:
    assert not verify_meta([""], sign_meta("", BODY), BODY)
    assert not verify_slack([""], str(NOW), sign_slack("", BODY), BODY, NOW)
    assert not verify_secret_token([""], "")
    assert not verify_secret_token([], "")
    signature = sign_twilio("", "https://chat.example/w", {})
    assert not verify_twilio([""], [""], ["https://chat.example/w"], [], None, signature)
    empty_key = base64.b64encode(hmac.digest(b"", b"m.1.{}", "sha256")).decode()
    assert not verify_webhook(["whsec_"], "m", "1", f"v1,{empty_key}", b"{}", 1)


def test_slack_request_from_the_future_is_refused() -> None:
    signature = sign_slack("secret", BODY, NOW + 301)

    assert not verify_slack(["secret"], str(NOW + 301), signature, BODY, NOW)


def test_twilio_url_is_valid_with_and_without_its_port() -> None:
    for configured in ("https://chat.example/w?a=1", "https://chat.example:443/w?a=1"):
        for signed in ("https://chat.example/w?a=1", "https://chat.example:443/w?a=1"):
            signature = sign_twilio("token", signed, {"Body": "hi"})
            urls = build_twilio_urls(configured)
            assert verify_twilio(["token"], [], urls, [("Body", "hi")], None, signature)


def test_twilio_query_is_valid_if_its_characters_arrive_escaped() -> None:
    signature = sign_twilio("token", "https://chat.example/w?n=O'Neil@home:1", {})
    urls = build_twilio_urls("https://chat.example/w?n=O%27Neil%40home%3A1")

    assert verify_twilio(["token"], [], urls, [], None, signature)


def test_twilio_json_body_must_have_the_hash_of_the_url() -> None:
    digest = hashlib.sha256(BODY).hexdigest()
    url = f"https://chat.example/w?bodySHA256={digest}"
    signature = sign_twilio("token", url, {})

    assert verify_twilio(["token"], [], [url], [], BODY, signature)
    assert not verify_twilio(["token"], [], [url], [], BODY + b" ", signature)
    bare = "https://chat.example/w"
    assert not verify_twilio(["token"], [], [bare], [], BODY, sign_twilio("token", bare, {}))


def test_twilio_settings_header_does_not_select_the_auth_token() -> None:
    url = "https://chat.example/w"
    signature = sign_twilio("token", url, {}, "sha256")

    assert not verify_twilio(
        ["token"], ["shared"], [url], [], None, signature, "algorithm=HMAC_SHA256"
    )


@given(
    header=st.text(max_size=60) | st.none(),
    timestamp=st.text(max_size=14) | st.none(),
    body=st.binary(max_size=50),
    url=st.text(max_size=60),
)
def test_malformed_input_is_invalid_and_raises_nothing(
    header: str | None, timestamp: str | None, body: bytes, url: str
) -> None:
    secrets = ["secret", "whsec_c2VjcmV0", "whsec_!"]
    assert not verify_slack(secrets, timestamp, header, body, NOW)
    assert not verify_meta(secrets, header, body)
    assert not verify_webhook(secrets, header, timestamp, header, body, NOW)
    for part in (None, body):
        assert not verify_twilio(
            secrets, secrets, build_twilio_urls(url), [], part, header, timestamp
        )
