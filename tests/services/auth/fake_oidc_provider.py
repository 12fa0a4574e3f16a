"""An OpenID provider (Authlib server) whose ID tokens tests can modify.

    python fake_oidc_provider.py PORT

`POST /next` sets the claims and the behaviour of the next sign-in; `POST /mint` returns an ID
token that was issued outside of a sign-in.
"""

import os
import sys
import time

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

import jwt
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core.grants import OpenIDCode
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from flask import Flask, jsonify, request

PORT = int(sys.argv[1])
ISSUER = f"http://127.0.0.1:{PORT}"
KEYS = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "unpublished": rsa.generate_private_key(65537, 2048),
    "weak": rsa.generate_private_key(65537, 1024),  # noqa: S505 - must be rejected
}
ADA = {"sub": "ada-subject", "preferred_username": "ada", "name": "Ada"}
state = {
    "claims": ADA,
    "behaviour": {},
    "published": ["RS256", "ES256", "weak"],
    "token_requests": 0,
}
codes: dict[str, "Code"] = {}


class Client(ClientMixin):
    def get_client_id(self):
        return "our-id"

    def get_default_redirect_uri(self):
        return None

    def get_allowed_scope(self, scope):
        return scope

    def check_redirect_uri(self, redirect_uri):
        return redirect_uri == "http://gateway.test/auth/oidc/house/callback"

    def check_client_secret(self, client_secret):
        return client_secret == "our secret / & more"

    def check_endpoint_auth_method(self, method, endpoint):
        return method == "client_secret_basic"

    def check_response_type(self, response_type):
        return response_type == "code"

    def check_grant_type(self, grant_type):
        return grant_type == "authorization_code"


class Code(AuthorizationCodeMixin):
    def __init__(self, code, payload):
        self.code, self.data = code, payload.data
        self.code_challenge = payload.data.get("code_challenge")
        self.code_challenge_method = payload.data.get("code_challenge_method")

    def get_redirect_uri(self):
        return self.data["redirect_uri"]

    def get_scope(self):
        return self.data["scope"]

    def get_nonce(self):
        return self.data.get("nonce")


class Grant(AuthorizationCodeGrant):
    def save_authorization_code(self, code, request):
        codes[code] = Code(code, request.payload)

    def query_authorization_code(self, code, client):
        return codes.get(code)

    def delete_authorization_code(self, authorization_code):
        del codes[authorization_code.code]

    def authenticate_user(self, authorization_code):
        return "user"


class IdTokenExtension(OpenIDCode):
    def exists_nonce(self, nonce, request):
        return False

    def encode_id_token(self, token, request):
        return sign_id_token({"nonce": request.authorization_code.get_nonce()} | state["claims"])


def sign_id_token(claims, alg="RS256", key=None, kid=None, typ=None):
    now = int(time.time())
    payload = {"iss": ISSUER, "aud": "our-id", "iat": now, "exp": now + 120} | claims
    payload = {name: value for name, value in payload.items() if value is not None}
    alg, key = state["behaviour"].get("alg", alg), state["behaviour"].get("key", key)
    secret = KEYS.get(key or alg, "the secret of an attacker, long enough")
    headers = {"kid": kid or key or alg}
    return jwt.encode(payload, None if alg == "none" else secret, algorithm=alg, headers=headers)


app = Flask("provider")
server = AuthorizationServer(
    app,
    query_client=lambda client_id: Client() if client_id == "our-id" else None,
    save_token=lambda token, request: None,
)
server.register_grant(Grant, [IdTokenExtension(require_nonce=True), CodeChallenge(required=True)])


@app.get("/.well-known/openid-configuration")
def configuration():
    return {
        "issuer": state["behaviour"].get("issuer", ISSUER),
        "authorization_endpoint": f"{ISSUER}/authorize",
        "token_endpoint": f"{ISSUER}/token",
        "jwks_uri": f"{ISSUER}/jwks",
    }


@app.get("/jwks")
def jwks():
    entries = []
    for name in state["published"]:
        algorithm = jwt.get_algorithm_by_name("ES256" if name == "ES256" else "RS256")
        jwk = algorithm.to_jwk(KEYS[name].public_key(), as_dict=True)
        entries.append(jwk | {"kid": name, "use": "sig", "alg": get_algorithm(name)})
    return {"keys": [*entries, {"kty": "oct", "k": "c2VjcmV0"}, "not a key"]}


def get_algorithm(name):
    return "ES256" if name == "ES256" else "RS256"


@app.get("/authorize")
def authorize():
    grant = server.get_consent_grant(end_user="user")
    user = None if state["behaviour"].get("deny") else "user"
    return server.create_authorization_response(grant_user=user, grant=grant)


@app.post("/token")
def token():
    state["token_requests"] += 1
    return server.create_token_response()


@app.post("/next")
def prepare_sign_in():
    state["claims"] = ADA | request.json.get("claims", {})
    state["behaviour"] = request.json.get("behaviour", {})
    return jsonify(token_requests=state["token_requests"])


@app.post("/mint")
def mint_id_token():
    return jsonify(
        sign_id_token(ADA | request.json.get("claims", {}), **request.json.get("behaviour", {}))
    )


if __name__ == "__main__":
    app.run("127.0.0.1", PORT, threaded=True)
