"""Service tokens: verification, delegated permissions and internal routes."""

import json
import time

import jwt
import pytest

from backend.security import Permission, authenticated, internal_only, require_permission
from backend.security.authentication import (
    Credentials,
    SecurityContext,
    get_security_context,
    identify_principal,
    set_security_context,
)
from backend.security.base64url import encode_base64url
from backend.security.guards import Guard, get_guard
from backend.security.http_errors import HttpError
from backend.security.permissions import DELEGATED_PERMISSIONS
from backend.security.service_tokens import HEADER, LIFETIME_SECONDS, ServiceTokens
from backend.security.tokens import InvalidToken, public_jwk, signing_key

SECRET = "secret shared by the services of the tests"
AGENT = "agent-service"


@pytest.fixture
def app(app):
    @app.get("/inside")
    @internal_only
    def inside():
        return {"inside": True}

    @app.get("/inside/users")
    @internal_only
    @require_permission(Permission.USERS_READ)
    def users_inside():
        return {"users": True}

    @app.get("/users")
    @require_permission(Permission.USERS_READ)
    def users():
        return {"users": True}

    return app


@pytest.fixture
def from_agent():
    return {HEADER: ServiceTokens(SECRET, AGENT).get_token("bare")}


def forged(secret=SECRET, key_of=AGENT, typ="service+jwt", alg="EdDSA", **claims):
    now = int(time.time())
    payload = {"iss": AGENT, "aud": "bare", "iat": now, "nbf": now, "exp": now + 60, "jti": "1"}
    payload |= claims
    payload = {name: value for name, value in payload.items() if value is not None}
    key = signing_key(secret, f"service/{key_of}") if alg == "EdDSA" else secret
    return _signed(payload, key, alg, typ)


def _signed(payload, key=None, alg="EdDSA", typ="service+jwt", **header):
    key = key or signing_key(SECRET, f"service/{AGENT}")
    raw = json.dumps(payload).encode()
    return jwt.PyJWS().encode(raw, key, algorithm=alg, headers={"typ": typ} | header)


def _with_header(header):
    """Return a valid token with another header and the same signature."""
    _, payload, signature = ServiceTokens(SECRET, AGENT).get_token("bare").split(".")
    return f"{encode_base64url(header)}.{payload}.{signature}"


INVALID_TOKENS = {
    "empty": "",
    "not a token": "x",
    "three dots": "a.b.c",
    "too long": "a" * 5000,
    "not ASCII": "\u00e9",
    "for another service": forged(aud="rag-service"),
    "for several services": forged(aud=["bare", "rag-service"]),
    "of a service without delegation": forged(iss="auth-service", key_of="auth-service"),
    "of an unknown service": forged(iss="nobody", key_of="nobody"),
    "without issuer": forged(iss=None),
    "issuer is a list": _signed({"iss": [AGENT]}),
    "signed by another service": forged(key_of="rag-service"),
    "of another suite": forged(secret="another secret"),
    "type of an access token": forged(typ="at+jwt"),
    "another algorithm": forged(alg="HS256", secret=SECRET * 2),
    "alg none": _with_header(b'{"alg": "none", "typ": "service+jwt"}'),
    "alg none without signature": _with_header(b'{"alg": "none"}').rpartition(".")[0] + ".",
    "header of 2,900 open brackets": _with_header(b"[" * 2900),
    "embedded jwk of another key": _signed(
        {"iss": AGENT, "aud": "bare"},
        key=signing_key("another secret"),
        jwk=public_jwk(signing_key("another secret").public_key()),
    ),
    "crit": _signed({"iss": AGENT, "aud": "bare"}, crit=["exp"]),
    "issuer in another case": forged(iss=AGENT.upper()),
    "issuer with a path": forged(iss=f"{AGENT}/../auth-service"),
    "issuer with a space": forged(iss=f"{AGENT} "),
    "issuer is null": _signed({"iss": None}),
    "issuer is an object": _signed({"iss": {"name": AGENT}}),
    "lifetime is infinite": forged(exp=float("inf")),
    "lifetime is not a number": forged(exp=float("nan")),
    "issued in the future": forged(iat=int(time.time()) + 600),
    "ends before it begins": forged(exp=int(time.time()) - 60),
    "times are texts": forged(iat="0", nbf="0", exp="9999999999"),
    "for a callee with a space": forged(aud="bare "),
    "for a callee in a list": forged(aud=["bare"]),
    "payload is a list": _signed([AGENT, "bare"]),
    "expired": forged(iat=1, nbf=1, exp=61),
    "not yet valid": forged(nbf=int(time.time()) + 600, exp=int(time.time()) + 660),
    "valid for an hour": forged(exp=int(time.time()) + 3600),
    **{f"without {name}": forged(**{name: None}) for name in ("aud", "exp", "iat", "nbf", "jti")},
}


@pytest.mark.parametrize("token", INVALID_TOKENS.values(), ids=INVALID_TOKENS.keys())
@pytest.mark.parametrize("path", ["/inside", "/who"])
def test_invalid_service_token_returns_401_even_with_a_valid_user(client, identities, path, token):
    headers = {HEADER: token.encode().decode("latin-1")} | identities.bearer()

    response = client.get(path, headers=headers)

    assert (response.status_code, response.json["code"]) == (401, "invalid_service_token")


def test_internal_route_rejects_callers_without_service_token(client, identities, from_agent):
    everything = identities.bearer(permissions=list(Permission))

    response = client.get("/inside", headers=everything)

    assert (response.status_code, response.json["code"]) == (403, "internal_only")
    assert client.get("/inside").status_code == 403
    assert client.get("/inside", headers=from_agent).json == {"inside": True}


def test_permissions_are_the_intersection_of_user_and_service(client, identities, from_agent):
    admin = identities.bearer(permissions=list(Permission))
    viewer = identities.bearer("user-bob", permissions=["rag:read"])

    assert client.get("/users", headers=admin).status_code == 200
    assert client.get("/users", headers=admin | from_agent).json["code"] == "permission_denied"
    assert client.get("/inside/users", headers=admin | from_agent).status_code == 403
    assert client.get("/who", headers=admin | from_agent).json["permissions"] == sorted(
        DELEGATED_PERMISSIONS[AGENT]
    )
    assert client.get("/who", headers=viewer | from_agent).json["permissions"] == ["rag:read"]


def test_service_token_alone_does_not_authenticate_a_user(client, from_agent):
    assert client.get("/who", headers=from_agent).status_code == 401


def test_service_tokens_are_rejected_without_shared_secret(app, client, from_agent):
    security = get_security_context(app)
    alone = (security.tokens, security.api_keys, security.revocations, {})
    set_security_context(app, SecurityContext(*alone))

    assert client.get("/inside", headers=from_agent).json["code"] == "invalid_service_token"


def test_service_token_is_reused_for_half_its_lifetime_per_callee():
    now = [1_000_000.0]
    agent = ServiceTokens(SECRET, AGENT, lambda: now[0])
    first = agent.get_token("rag-service")

    now[0] += LIFETIME_SECONDS / 2 - 1
    assert agent.get_token("rag-service") == first
    assert agent.get_token("auth-service") != first
    now[0] += 1
    assert agent.get_token("rag-service") != first


def test_service_token_is_valid_only_for_its_callee():
    token = ServiceTokens(SECRET, AGENT).get_token("rag-service")

    assert ServiceTokens(SECRET, "rag-service").verify_caller(token) == AGENT
    with pytest.raises(InvalidToken):
        ServiceTokens(SECRET, "auth-service").verify_caller(token)


def test_get_guard_returns_combined_declarations():
    def view():
        return ""

    assert get_guard(internal_only(view)) == Guard(internal=True)
    assert get_guard(internal_only(authenticated(view))) == Guard(internal=True)
    guarded = require_permission(Permission.RAG_READ)(view)
    assert get_guard(internal_only(guarded)) == Guard(Permission.RAG_READ, internal=True)


def _from(service):
    return {HEADER: ServiceTokens(SECRET, service).get_token("bare")}


@pytest.mark.parametrize("service", ["chat-service", AGENT])
def test_delegated_token_is_accepted_from_its_service_and_from_the_agent(
    client, identities, service
):
    delegated = identities.bearer(act={"sub": "chat-service"})

    response = client.get("/who", headers=delegated | _from(service))

    assert response.status_code == 200


@pytest.mark.parametrize("service", [None, "rag-service", "admin-service"])
def test_delegated_token_is_rejected_from_users_and_other_services(client, identities, service):
    delegated = identities.bearer(act={"sub": "chat-service"})
    headers = delegated | (_from(service) if service else {})

    response = client.get("/who", headers=headers)

    assert (response.status_code, response.json["code"]) == (401, "invalid_token")


@pytest.mark.parametrize("act", [None, "chat-service", {}, {"sub": 1}, {"sub": None}, []])
def test_token_with_a_malformed_actor_is_rejected(client, identities, act):
    response = client.get("/who", headers=identities.bearer(act=act) | _from("chat-service"))

    assert (response.status_code, response.json["code"]) == (401, "invalid_token")


def test_delegated_token_is_not_accepted_by_gateway_and_realtime(app, identities):
    token = identities.token(act={"sub": "chat-service"})

    with app.test_request_context(), pytest.raises(HttpError) as rejected:
        identify_principal(get_security_context(app), Credentials(f"Bearer {token}"))

    assert rejected.value.problem_code == "invalid_token"
