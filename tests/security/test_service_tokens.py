"""A service may do what its user may and it may itself, and nobody else is taken for one."""

import json
import time

import jwt
import pytest

from backend.security import Permission, authenticated, internal_only, require_permission
from backend.security.authentication import Security, use_security
from backend.security.guards import Guard, guard_of
from backend.security.permissions import ON_BEHALF
from backend.security.service_tokens import HEADER, LIFETIME_SECONDS, ServiceTokens
from backend.security.tokens import InvalidToken, signing_key

SECRET = "what the services of the tests share"
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
    return {HEADER: ServiceTokens(SECRET, AGENT).sign("bare")}


def forged(secret=SECRET, key_of=AGENT, typ="service+jwt", alg="EdDSA", **claims):
    now = int(time.time())
    payload = {"iss": AGENT, "aud": "bare", "iat": now, "nbf": now, "exp": now + 60, "jti": "1"}
    payload |= claims
    payload = {name: value for name, value in payload.items() if value is not None}
    key = signing_key(secret, f"service/{key_of}") if alg == "EdDSA" else secret
    return _signed(payload, key, alg, typ)


def _signed(payload, key=None, alg="EdDSA", typ="service+jwt"):
    key = key or signing_key(SECRET, f"service/{AGENT}")
    raw = json.dumps(payload).encode()
    return jwt.PyJWS().encode(raw, key, algorithm=alg, headers={"typ": typ})


BAD = {
    "nothing": "",
    "no token": "x",
    "three dots": "a.b.c",
    "too long": "a" * 5000,
    "not ASCII": "\u00e9",
    "for another service": forged(aud="rag-service"),
    "for several": forged(aud=["bare", "rag-service"]),
    "of a service that calls nobody": forged(iss="rag-service", key_of="rag-service"),
    "of a made-up service": forged(iss="nobody", key_of="nobody"),
    "of no name at all": forged(iss=None),
    "of a list of names": _signed({"iss": [AGENT]}),
    "signed by another service": forged(key_of="rag-service"),
    "of another suite": forged(secret="another secret"),
    "an access token's type": forged(typ="at+jwt"),
    "another algorithm": forged(alg="HS256", secret=SECRET * 2),
    "expired": forged(iat=1, nbf=1, exp=61),
    "not yet": forged(nbf=int(time.time()) + 600, exp=int(time.time()) + 660),
    "for an hour": forged(exp=int(time.time()) + 3600),
    **{f"without {name}": forged(**{name: None}) for name in ("aud", "exp", "iat", "nbf", "jti")},
}


@pytest.mark.parametrize("token", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("path", ["/inside", "/who"])
def test_a_bad_service_token_is_a_401_also_beside_a_good_user(client, identities, path, token):
    headers = {HEADER: token.encode().decode("latin-1")} | identities.bearer()

    response = client.get(path, headers=headers)

    assert (response.status_code, response.json["code"]) == (401, "invalid_service_token")


def test_what_is_for_services_alone_is_closed_to_everybody_else(client, identities, from_agent):
    everything = identities.bearer(permissions=list(Permission))

    refused = client.get("/inside", headers=everything)

    assert (refused.status_code, refused.json["code"]) == (403, "internal_only")
    assert client.get("/inside").status_code == 403
    assert client.get("/inside", headers=from_agent).json == {"inside": True}


def test_what_may_be_done_is_what_both_may(client, identities, from_agent):
    admin = identities.bearer(permissions=list(Permission))
    viewer = identities.bearer("user-bob", permissions=["rag:read"])

    assert client.get("/users", headers=admin).status_code == 200
    assert client.get("/users", headers=admin | from_agent).json["code"] == "permission_denied"
    assert client.get("/inside/users", headers=admin | from_agent).status_code == 403
    assert client.get("/who", headers=admin | from_agent).json["permissions"] == sorted(
        ON_BEHALF[AGENT]
    )
    assert client.get("/who", headers=viewer | from_agent).json["permissions"] == ["rag:read"]


def test_a_service_alone_is_no_user(client, from_agent):
    assert client.get("/who", headers=from_agent).status_code == 401


def test_an_app_that_shares_nothing_takes_nobody_for_a_service(app, client, from_agent):
    security = app.extensions["backend.security"]
    alone = (security.tokens, security.api_keys, security.revocations, {})
    use_security(app, Security(*alone))

    assert client.get("/inside", headers=from_agent).json["code"] == "invalid_service_token"


def test_a_token_is_signed_anew_for_each_callee_and_after_half_its_life():
    now = [1_000_000.0]
    agent = ServiceTokens(SECRET, AGENT, lambda: now[0])
    first = agent.sign("rag-service")

    now[0] += LIFETIME_SECONDS / 2 - 1
    assert agent.sign("rag-service") == first
    assert agent.sign("auth-service") != first
    now[0] += 1
    assert agent.sign("rag-service") != first


def test_a_token_is_good_for_its_callee_alone():
    token = ServiceTokens(SECRET, AGENT).sign("rag-service")

    assert ServiceTokens(SECRET, "rag-service").caller(token) == AGENT
    with pytest.raises(InvalidToken):
        ServiceTokens(SECRET, "auth-service").caller(token)


def test_a_view_declares_what_guards_it():
    def view():
        return ""

    assert guard_of(internal_only(view)) == Guard(internal=True)
    assert guard_of(internal_only(authenticated(view))) == Guard(internal=True)
    guarded = require_permission(Permission.RAG_READ)(view)
    assert guard_of(internal_only(guarded)) == Guard(Permission.RAG_READ, internal=True)
