"""Published public keys and the claims of access tokens."""

from datetime import timedelta

import jwt
import pytest

from backend.security.authentication import get_security_context
from backend.security.settings import SecuritySettings
from backend.security.tokens import MAX_TOKEN_BYTES, TokenVerifier
from backend.services.auth.app import create_app
from backend.services.auth.domain.accounts import Account, Membership
from backend.services.auth.routes.tokens import create_user_access_token
from tests.identities import LocalKeys


@pytest.fixture
def published_keys(client):
    response = client.get("/.well-known/jwks.json")
    assert response.headers["Cache-Control"] == "public, max-age=300"
    return response.json["keys"]


def test_token_verifies_with_the_published_key(ada, published_keys):
    (key,) = published_keys
    assert jwt.get_unverified_header(ada.access_token) == {
        "alg": "EdDSA",
        "typ": "at+jwt",
        "kid": key["kid"],
    }
    public = jwt.PyJWK(key).key

    verifier = TokenVerifier(LocalKeys([public]), "ai-agent-system", "ai-agent-system")
    claims = verifier.verify(ada.access_token)

    assert claims.user_id == ada.user["id"]
    assert claims.default_tenant == ada.user["tenant_id"]
    assert claims.memberships[0].scope == frozenset(ada.user["permissions"])


def test_jwks_contains_no_private_parameters(published_keys):
    assert {name for key in published_keys for name in key} == {
        "kty",
        "crv",
        "x",
        "kid",
        "use",
        "alg",
    }


def test_token_has_all_required_claims_and_expires_after_ten_minutes(ada):
    claims = jwt.decode(ada.access_token, options={"verify_signature": False})

    required = "iss sub aud exp iat nbf jti sid tid gen scope tslug tgen"
    assert set(required.split()) <= set(claims)
    assert claims["exp"] - claims["iat"] == 600


def test_instances_with_the_same_secret_publish_the_same_key(make_settings, clock):
    secrets = ["first secret of two services", "first secret of two services", "another secret"]
    kids = [
        create_app(make_settings(JWT_SECRET_KEY=secret), clock.now)
        .test_client()
        .get("/.well-known/jwks.json")
        .json["keys"][0]["kid"]
        for secret in secrets
    ]

    assert kids[0] == kids[1] != kids[2]


@pytest.mark.parametrize("count", [1, 3, 100])
def test_token_size_is_limited_for_members_of_many_tenants(app, clock, count):
    memberships = tuple(
        Membership(f"{n:032}", f"tenant-{n}", f"Tenant {n}", n, ("user",), frozenset({"rag:read"}))
        for n in range(count)
    )
    account = Account("u" * 32, "ada", None, None, {}, 4, memberships, clock.now(), None)

    with app.test_request_context():
        token = create_user_access_token(account, "s" * 32)

    assert len(token) <= MAX_TOKEN_BYTES
    settings = SecuritySettings.from_env({})
    keys = get_security_context(app).tokens._keys
    claims = TokenVerifier(keys, settings.issuer, settings.audience).verify(token)
    assert claims.generation == 4
    assert claims.memberships[-1].scope == frozenset({"rag:read"})
    assert len(claims.memberships) == count if count < 10 else len(claims.memberships) > 15
    assert claims.expires_at - timedelta(minutes=10).total_seconds() > 0
