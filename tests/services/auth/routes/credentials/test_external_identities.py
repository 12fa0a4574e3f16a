"""Sign-in through an OpenID provider process, with valid and manipulated ID tokens."""

import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from backend.chassis.settings import SettingsError
from backend.services.auth.app import create_app
from tests.servers import free_port, process, wait_until
from tests.services.auth.api_user import PASSWORD, ApiUser, get_problem

PROVIDER = Path(__file__).parents[2] / "fake_oidc_provider.py"
VERIFIED = {"email": "ada@example.org", "email_verified": True}


class FakeProvider:
    """The provider process, controlled by the test and visited by its browser."""

    def __init__(self, port: int) -> None:
        self.issuer = f"http://127.0.0.1:{port}"

    def is_ready(self) -> bool:
        try:
            return requests.get(f"{self.issuer}/jwks", timeout=2).ok
        except requests.ConnectionError:
            return False

    def prepare(self, behaviour: dict | None = None, **claims: object) -> int:
        """Set claims and behaviour of the next sign-in; return the number of token requests."""
        body = {"claims": claims, "behaviour": behaviour or {}}
        response = requests.post(f"{self.issuer}/next", json=body, timeout=30)
        return response.json()["token_requests"]

    def mint(self, behaviour: dict | None = None, **claims: object) -> str:
        """Return an ID token that was issued outside of a sign-in."""
        body = {"claims": claims, "behaviour": behaviour or {}}
        return requests.post(f"{self.issuer}/mint", json=body, timeout=30).json()

    def authorize(self, url: str) -> str:
        """Visit the authorization URL; return path and query of the redirect to the callback."""
        response = requests.get(url, allow_redirects=False, timeout=30)
        assert response.status_code == 302, response.text
        callback = urlsplit(response.headers["Location"])
        assert callback.path == "/auth/oidc/house/callback"
        return f"{callback.path.removeprefix('/auth')}?{callback.query}"


@pytest.fixture(scope="module")
def running_provider(tmp_path_factory):
    port = free_port()
    log = tmp_path_factory.mktemp("provider") / "log"
    with process([sys.executable, str(PROVIDER), str(port)], log):
        provider_process = FakeProvider(port)
        wait_until(provider_process.is_ready)
        yield provider_process


@pytest.fixture
def provider_process(running_provider):
    running_provider.prepare()
    return running_provider


@pytest.fixture
def environment(provider_process):
    return {
        "PUBLIC_URL": "http://gateway.test/",
        "OIDC_PROVIDERS": "house,doubtful",
        "OIDC_HOUSE_ISSUER": provider_process.issuer,
        "OIDC_HOUSE_CLIENT_ID": "our-id",
        "OIDC_HOUSE_CLIENT_SECRET": "our secret / & more",
        "OIDC_HOUSE_TRUST_EMAIL": "true",
        "OIDC_DOUBTFUL_ISSUER": provider_process.issuer,
        "OIDC_DOUBTFUL_CLIENT_ID": "our-id",
    }


@pytest.fixture
def app(make_settings, environment):
    app = create_app(make_settings(**environment))
    app.testing = True
    return app


def sign_in(client, provider_process):
    redirect = client.get("/oidc/house/login")
    assert redirect.status_code == 302
    return client.get(provider_process.authorize(redirect.location))


def test_providers_are_listed_with_login_url(client):
    assert client.get("/oidc").json == {
        "providers": [
            {"name": "house", "login_url": "/auth/oidc/house/login"},
            {"name": "doubtful", "login_url": "/auth/oidc/doubtful/login"},
        ]
    }
    assert get_problem(client.get("/oidc/nobody/login")) == (404, "not_found")


def test_first_sign_in_creates_account_and_later_ones_reuse_it(client, provider_process):
    provider_process.prepare(**VERIFIED)
    first = sign_in(client, provider_process)
    repeated = sign_in(client, provider_process)

    assert (first.status_code, repeated.status_code) == (200, 200)
    assert first.json["user"]["username"] == "ada"
    assert first.json["user"]["email"] == "ada@example.org"
    assert first.json["user"]["roles"] == ["user"]
    assert first.json["user"]["id"] == repeated.json["user"]["id"]
    headers = {"Authorization": f"Bearer {first.json['access_token']}"}
    me = client.get("/me", headers=headers)
    assert (me.status_code, me.json["sign_in_methods"]) == (200, [])


def test_login_redirects_with_pkce_state_nonce_and_cookie(client, provider_process):
    redirect = client.get("/oidc/house/login")
    query = {name: value for name, (value,) in parse_qs(urlsplit(redirect.location).query).items()}

    assert query["code_challenge_method"] == "S256"
    assert len(query["code_challenge"]) == 43
    assert min(len(query["state"]), len(query["nonce"])) >= 43
    cookie = redirect.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert redirect.headers["Cache-Control"] == "no-store"


def test_callback_works_once(client, provider_process):
    redirect = client.get("/oidc/house/login")
    callback_url = provider_process.authorize(redirect.location)
    cookie = client.get_cookie("external_sign_in").value
    assert client.get(callback_url).status_code == 200
    client.set_cookie("external_sign_in", cookie)

    assert get_problem(client.get(callback_url)) == (401, "invalid_sign_in")


def test_code_of_another_sign_in_is_rejected(client, provider_process):
    code = parse_qs(
        urlsplit(provider_process.authorize(client.get("/oidc/house/login").location)).query
    )["code"]
    redirect = client.get("/oidc/house/login")
    state = parse_qs(urlsplit(redirect.location).query)["state"][0]

    # The PKCE code verifier of this state does not match the code.
    assert get_problem(client.get(f"/oidc/house/callback?state={state}&code={code[0]}")) == (
        401,
        "invalid_id_token",
    )


def test_callback_in_another_browser_is_rejected(app, client, provider_process):
    callback_url = provider_process.authorize(client.get("/oidc/house/login").location)
    other = app.test_client()
    other.get("/oidc/house/login")

    assert get_problem(other.get(callback_url)) == (401, "invalid_sign_in")
    assert get_problem(client.get(callback_url)) == (401, "invalid_sign_in"), (
        "the pending sign-in is consumed"
    )


@pytest.mark.parametrize(
    "path",
    [
        "/oidc/house/callback?state=made-up&code=x",
        "/oidc/doubtful/callback?state=made-up&code=x",
        "/oidc/house/callback?state=made-up&error=access_denied&hd=x",
    ],
)
def test_callback_rejects_unknown_state(client, path):
    client.get("/oidc/house/login")
    assert get_problem(client.get(path)) == (401, "invalid_sign_in")


def test_callback_of_another_provider_is_rejected(client, provider_process):
    callback_url = provider_process.authorize(client.get("/oidc/house/login").location)

    assert get_problem(client.get(callback_url.replace("/house/", "/doubtful/"))) == (
        401,
        "invalid_sign_in",
    )


def test_sign_in_denied_by_the_provider_is_rejected(client, provider_process):
    provider_process.prepare(behaviour={"deny": True})

    assert get_problem(sign_in(client, provider_process)) == (401, "invalid_sign_in")


INVALID_CLAIMS = {
    "wrong issuer": {"iss": "https://another.example"},
    "issuer with trailing slash": {"iss": "http://127.0.0.1/"},
    "no issuer": {"iss": None},
    "wrong audience": {"aud": "another-id"},
    "several audiences without azp": {"aud": ["our-id", "another-id"]},
    "wrong azp": {"azp": "another-id"},
    "no audience and wrong azp": {"aud": None, "azp": "another-id"},
    "no audience": {"aud": None},
    "expired": {"iat": 1, "exp": 100},
    "issued in the future": {"iat": 33_000_000_000, "exp": 33_000_000_100},
    "no expiry": {"exp": None},
    "no subject": {"sub": None},
    "empty subject": {"sub": ""},
    "long subject": {"sub": "s" * 300},
}


@pytest.mark.parametrize("claims", INVALID_CLAIMS.values(), ids=INVALID_CLAIMS.keys())
def test_id_token_with_invalid_claims_is_rejected(client, provider_process, claims):
    provider_process.prepare(**VERIFIED | claims)
    assert get_problem(sign_in(client, provider_process)) == (401, "invalid_id_token")

    token = provider_process.mint(**VERIFIED | claims)
    response = client.post("/oidc/house/exchange", json={"id_token": token})
    assert get_problem(response) == (401, "invalid_id_token")


@pytest.mark.parametrize("nonce", ["of another sign-in", None], ids=["wrong", "none"])
def test_id_token_with_another_nonce_is_rejected(client, provider_process, nonce):
    provider_process.prepare(nonce=nonce)

    assert get_problem(sign_in(client, provider_process)) == (401, "invalid_id_token")


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param({"alg": "none"}, id="algorithm none"),
        pytest.param({"alg": "HS256"}, id="shared secret"),
        pytest.param({"alg": "HS256", "kid": "RS256"}, id="shared secret with valid key id"),
        pytest.param({"alg": "RS384", "key": "RS256"}, id="algorithm not accepted"),
        pytest.param({"alg": "RS256", "key": "unpublished"}, id="unpublished key"),
        pytest.param({"alg": "RS256", "key": "weak"}, id="weak published key"),
        pytest.param(
            {"alg": "RS256", "key": "unpublished", "kid": "RS256"}, id="key id of another key"
        ),
        pytest.param({"alg": "RS256", "key": "RS256", "kid": "ES256"}, id="key of another type"),
    ],
)
def test_id_token_with_invalid_signature_is_rejected(client, provider_process, behaviour):
    response = client.post(
        "/oidc/house/exchange", json={"id_token": provider_process.mint(behaviour)}
    )

    assert get_problem(response) == (401, "invalid_id_token")


@pytest.mark.parametrize("behaviour", [{"alg": "RS256"}, {"alg": "ES256"}], ids=["RS256", "ES256"])
def test_id_token_is_accepted_once(client, provider_process, behaviour):
    token = provider_process.mint(behaviour)
    body = {"id_token": token}

    assert client.post("/oidc/house/exchange", json=body).status_code == 200
    assert get_problem(client.post("/oidc/house/exchange", json=body)) == (401, "invalid_id_token")


def test_id_token_without_audience_is_accepted_with_matching_azp(client, provider_process):
    token = provider_process.mint(aud=None, azp="our-id")

    assert client.post("/oidc/house/exchange", json={"id_token": token}).status_code == 200


@pytest.mark.parametrize(("nonce", "status"), [("mine", 200), ("another", 401)])
def test_exchange_checks_the_nonce_if_given(client, provider_process, nonce, status):
    body = {"id_token": provider_process.mint(nonce="mine"), "nonce": nonce}

    assert client.post("/oidc/house/exchange", json=body).status_code == status


@pytest.mark.parametrize("token", ["x", "a.b.c", "\u00e9", "a" * 16_000])
def test_exchange_rejects_malformed_id_token(client, token):
    response = client.post("/oidc/house/exchange", json={"id_token": token})

    assert get_problem(response) == (401, "invalid_id_token")


def test_verified_email_takes_over_unverified_account_and_revokes_its_credentials(
    client, provider_process
):
    squatter = ApiUser.register(client, "squatter", email="ada@example.org")
    key = client.post("/api-keys", json={"name": "kept"}, headers=squatter.auth_headers).json["key"]
    provider_process.prepare(**VERIFIED)

    ada = sign_in(client, provider_process).json

    assert ada["user"]["id"] == squatter.user["id"]
    assert squatter.get("/me").status_code == 401
    assert squatter.refresh().status_code == 401
    assert client.get("/me", headers={"X-API-Key": key}).status_code == 401
    body = {"username": "squatter", "password": PASSWORD}
    assert get_problem(client.post("/login", json=body)) == (401, "invalid_credentials")


def test_account_with_verified_email_keeps_its_password_when_linked(
    client, provider_process, execute
):
    ada = ApiUser.register(client, "ada", email="ADA@example.org")
    execute("UPDATE users SET email_verified = true")
    provider_process.prepare(**VERIFIED)

    assert sign_in(client, provider_process).json["user"]["id"] == ada.user["id"]
    assert ada.get("/me").status_code == 200
    assert ApiUser.sign_in(client, "ada").user["id"] == ada.user["id"]


@pytest.mark.parametrize(
    ("provider", "claims"),
    [
        pytest.param("house", VERIFIED | {"email_verified": False}, id="not verified"),
        pytest.param("house", {"email": "ada@example.org"}, id="email_verified missing"),
        pytest.param("house", VERIFIED | {"email_verified": 1}, id="email_verified not boolean"),
        pytest.param("doubtful", VERIFIED, id="untrusted provider"),
    ],
)
def test_unverified_email_does_not_link_accounts(client, provider_process, provider, claims):
    ada = ApiUser.register(client, "ada", email="ada@example.org")
    token = provider_process.mint(**claims)

    response = client.post(f"/oidc/{provider}/exchange", json={"id_token": token})

    assert response.status_code == 200
    assert response.json["user"]["id"] != ada.user["id"]
    assert response.json["user"]["email"] is None
    assert response.json["user"]["username"].startswith("ada-")
    assert ada.get("/me").status_code == 200


@pytest.mark.parametrize(
    "username", ["\u5c71\u7530", "...", "a\u202eb", "x" * 150, "", "root@example.org"]
)
def test_provider_username_is_converted_to_a_valid_one(client, provider_process, username):
    token = provider_process.mint(preferred_username=username, sub=f"with {username}")

    response = client.post("/oidc/house/exchange", json={"id_token": token})

    assert response.status_code == 200, response.text


def test_disabled_account_cannot_sign_in_through_provider(client, provider_process, execute):
    provider_process.prepare(**VERIFIED)
    sign_in(client, provider_process)
    execute("UPDATE users SET disabled_at = created_at WHERE username = 'ada'")

    assert get_problem(sign_in(client, provider_process)) == (403, "account_disabled")


def test_provider_with_another_issuer_is_rejected(make_settings, environment, provider_process):
    provider_process.prepare(behaviour={"issuer": "https://another.example"})
    client = create_app(make_settings(**environment)).test_client()

    response = client.get("/oidc/house/login")

    assert get_problem(response) == (503, "provider_unavailable")
    assert response.headers["Retry-After"]


def test_login_returns_503_when_the_provider_is_unreachable(make_settings, environment):
    unreachable = {"OIDC_HOUSE_ISSUER": f"http://127.0.0.1:{free_port()}"}
    client = create_app(make_settings(**environment | unreachable)).test_client()

    assert get_problem(client.get("/oidc/house/login")) == (503, "provider_unavailable")


@pytest.mark.parametrize(
    ("change", "variable"),
    [
        ({"OIDC_PROVIDERS": "House!"}, "OIDC_PROVIDERS"),
        ({"OIDC_HOUSE_CLIENT_ID": ""}, "OIDC_HOUSE_ISSUER"),
        ({"OIDC_HOUSE_ISSUER": "http://provider.example"}, "OIDC_HOUSE_ISSUER"),
        ({"OIDC_HOUSE_TRUST_EMAIL": "perhaps"}, "OIDC_HOUSE_TRUST_EMAIL"),
    ],
)
def test_invalid_setting_is_named_in_the_error(make_settings, environment, change, variable):
    with pytest.raises(SettingsError, match=variable):
        make_settings(**environment | change)


def test_sign_in_from_the_console_sets_cookies_and_returns_to_the_console(client, provider_process):
    redirect = client.get("/oidc/house/login?session=cookie")
    callback = urlsplit(provider_process.authorize(redirect.location))

    # The provider's redirect is a navigation from another site.
    response = client.get(
        f"/oidc/house/callback?{callback.query}",
        headers={"Sec-Fetch-Site": "cross-site", "X-Forwarded-Host": "localhost:5000"},
    )

    assert (response.status_code, response.location) == (303, "/console/")
    names = [line.partition("=")[0] for line in response.headers.getlist("Set-Cookie")]
    assert {"__Host-aas_access", "__Secure-aas_refresh"} <= set(names)
    assert not response.data


def test_failed_sign_in_from_the_console_returns_to_its_sign_in_page(client, provider_process):
    redirect = client.get("/oidc/house/login?session=cookie")
    callback = urlsplit(provider_process.authorize(redirect.location))
    client.get(f"/oidc/house/callback?{callback.query}")
    client.get("/oidc/house/login?session=cookie")

    response = client.get(f"/oidc/house/callback?{callback.query}")

    assert (response.status_code, response.location) == (
        303,
        "/console/sign-in?error=invalid_sign_in",
    )
