"""Signing in through a real provider process, honest and otherwise."""

import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from backend.chassis.settings import SettingsError
from backend.services.auth.app import create_app
from tests.servers import free_port, process, wait_until
from tests.services.auth.people import PASSWORD, Person, outcome

PROVIDER = Path(__file__).parents[1] / "stand_ins" / "provider.py"
VERIFIED = {"email": "ada@example.org", "email_verified": True}


class House:
    """The provider, as the test arranges it and as a browser meets it."""

    def __init__(self, port: int) -> None:
        self.issuer = f"http://127.0.0.1:{port}"

    def answers(self) -> bool:
        try:
            return requests.get(f"{self.issuer}/jwks", timeout=2).ok
        except requests.ConnectionError:
            return False

    def arrange(self, how: dict | None = None, **claims: object) -> int:
        """Say who signs in next; how often its token endpoint was asked so far."""
        told = {"claims": claims, "how": how or {}}
        return requests.post(f"{self.issuer}/next", json=told, timeout=5).json()["asked"]

    def mint(self, how: dict | None = None, **claims: object) -> str:
        told = {"claims": claims, "how": how or {}}
        return requests.post(f"{self.issuer}/mint", json=told, timeout=5).json()

    def visit(self, url: str) -> str:
        """Go where our login sent the browser; the path and query it comes back with."""
        answer = requests.get(url, allow_redirects=False, timeout=5)
        assert answer.status_code == 302, answer.text
        back = urlsplit(answer.headers["Location"])
        assert back.path == "/auth/oidc/house/callback"
        return f"{back.path.removeprefix('/auth')}?{back.query}"


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    port = free_port()
    log = tmp_path_factory.mktemp("provider") / "log"
    with process([sys.executable, str(PROVIDER), str(port)], log):
        house = House(port)
        wait_until(house.answers)
        yield house


@pytest.fixture
def house(running):
    running.arrange()
    return running


@pytest.fixture
def environment(house):
    return {
        "PUBLIC_URL": "http://gateway.test/",
        "OIDC_PROVIDERS": "house,doubtful",
        "OIDC_HOUSE_ISSUER": house.issuer,
        "OIDC_HOUSE_CLIENT_ID": "our-id",
        "OIDC_HOUSE_CLIENT_SECRET": "our secret / & more",
        "OIDC_HOUSE_TRUST_EMAIL": "true",
        "OIDC_DOUBTFUL_ISSUER": house.issuer,
        "OIDC_DOUBTFUL_CLIENT_ID": "our-id",
    }


@pytest.fixture
def database_url(each_database_url):
    return each_database_url


@pytest.fixture
def app(make_settings, environment):
    app = create_app(make_settings(**environment))
    app.testing = True
    return app


def sign_in(client, house):
    departure = client.get("/oidc/house/login")
    assert departure.status_code == 302
    return client.get(house.visit(departure.location))


def test_the_providers_are_listed_with_where_to_begin(client):
    assert client.get("/oidc").json == {
        "providers": [
            {"name": "house", "login_url": "/auth/oidc/house/login"},
            {"name": "doubtful", "login_url": "/auth/oidc/doubtful/login"},
        ]
    }
    assert outcome(client.get("/oidc/nobody/login")) == (404, "not_found")


def test_a_newcomer_gets_an_account_and_the_same_one_again(client, house):
    house.arrange(**VERIFIED)
    first = sign_in(client, house)
    again = sign_in(client, house)

    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json["user"]["username"] == "ada"
    assert first.json["user"]["email"] == "ada@example.org"
    assert first.json["user"]["roles"] == ["user"]
    assert first.json["user"]["id"] == again.json["user"]["id"]
    bearer = {"Authorization": f"Bearer {first.json['access_token']}"}
    assert client.get("/me", headers=bearer).status_code == 200


def test_the_browser_is_sent_with_pkce_state_and_nonce_and_a_cookie_of_its_own(client, house):
    departure = client.get("/oidc/house/login")
    query = {name: value for name, (value,) in parse_qs(urlsplit(departure.location).query).items()}

    assert query["code_challenge_method"] == "S256"
    assert len(query["code_challenge"]) == 43
    assert min(len(query["state"]), len(query["nonce"])) >= 43
    cookie = departure.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert departure.headers["Cache-Control"] == "no-store"


def test_a_callback_works_once(client, house):
    departure = client.get("/oidc/house/login")
    back = house.visit(departure.location)
    cookie = client.get_cookie("external_sign_in").value
    assert client.get(back).status_code == 200
    client.set_cookie("external_sign_in", cookie)

    assert outcome(client.get(back)) == (401, "invalid_sign_in")


def test_a_replayed_code_is_refused_by_the_provider_and_by_us(client, house):
    code = parse_qs(urlsplit(house.visit(client.get("/oidc/house/login").location)).query)["code"]
    used = client.get("/oidc/house/login")
    state = parse_qs(urlsplit(used.location).query)["state"][0]

    # Under another sign-in's state the provider misses the proof key of the code.
    assert outcome(client.get(f"/oidc/house/callback?state={state}&code={code[0]}")) == (
        401,
        "invalid_id_token",
    )


def test_who_comes_back_in_another_browser_is_not_signed_in(app, client, house):
    back = house.visit(client.get("/oidc/house/login").location)
    other = app.test_client()
    other.get("/oidc/house/login")

    assert outcome(other.get(back)) == (401, "invalid_sign_in")
    assert outcome(client.get(back)) == (401, "invalid_sign_in"), "it is used up"


@pytest.mark.parametrize(
    "path",
    [
        "/oidc/house/callback?state=made-up&code=x",
        "/oidc/doubtful/callback?state=made-up&code=x",
        "/oidc/house/callback?state=made-up&error=access_denied&hd=x",
    ],
)
def test_a_made_up_return_is_refused(client, path):
    client.get("/oidc/house/login")
    assert outcome(client.get(path)) == (401, "invalid_sign_in")


def test_a_return_to_another_provider_is_refused(client, house):
    back = house.visit(client.get("/oidc/house/login").location)

    assert outcome(client.get(back.replace("/house/", "/doubtful/"))) == (401, "invalid_sign_in")


def test_who_was_refused_over_there_is_not_signed_in(client, house):
    house.arrange(how={"deny": True})

    assert outcome(sign_in(client, house)) == (401, "invalid_sign_in")


TWISTED = {
    "wrong issuer": {"iss": "https://another.example"},
    "an issuer with a slash more": {"iss": "http://127.0.0.1/"},
    "no issuer": {"iss": None},
    "wrong audience": {"aud": "another-id"},
    "several audiences and no party": {"aud": ["our-id", "another-id"]},
    "another party": {"azp": "another-id"},
    "no audience and another party": {"aud": None, "azp": "another-id"},
    "no audience at all": {"aud": None},
    "expired": {"iat": 1, "exp": 100},
    "not yet": {"iat": 33_000_000_000, "exp": 33_000_000_100},
    "no expiry": {"exp": None},
    "nobody": {"sub": None},
    "an empty name": {"sub": ""},
    "a very long name": {"sub": "s" * 300},
}


@pytest.mark.parametrize("claims", TWISTED.values(), ids=TWISTED.keys())
def test_a_twisted_id_token_signs_nobody_in(client, house, claims):
    house.arrange(**VERIFIED | claims)
    assert outcome(sign_in(client, house)) == (401, "invalid_id_token")

    token = house.mint(**VERIFIED | claims)
    answer = client.post("/oidc/house/exchange", json={"id_token": token})
    assert outcome(answer) == (401, "invalid_id_token")


@pytest.mark.parametrize("nonce", ["somebody else's", None], ids=["wrong", "none"])
def test_the_nonce_must_be_that_of_this_sign_in(client, house, nonce):
    house.arrange(nonce=nonce)

    assert outcome(sign_in(client, house)) == (401, "invalid_id_token")


@pytest.mark.parametrize(
    "how",
    [
        pytest.param({"alg": "none"}, id="none"),
        pytest.param({"alg": "HS256"}, id="a shared secret"),
        pytest.param({"alg": "HS256", "kid": "RS256"}, id="a shared secret under a good key's id"),
        pytest.param({"alg": "RS384", "key": "RS256"}, id="an algorithm not agreed upon"),
        pytest.param({"alg": "RS256", "key": "stranger"}, id="a key that is not published"),
        pytest.param({"alg": "RS256", "key": "weak"}, id="a weak key, though published"),
        pytest.param({"alg": "RS256", "key": "stranger", "kid": "RS256"}, id="another's key id"),
        pytest.param({"alg": "RS256", "key": "RS256", "kid": "ES256"}, id="a key of another kind"),
    ],
)
def test_an_id_token_signed_otherwise_is_refused(client, house, how):
    answer = client.post("/oidc/house/exchange", json={"id_token": house.mint(how)})

    assert outcome(answer) == (401, "invalid_id_token")


@pytest.mark.parametrize("how", [{"alg": "RS256"}, {"alg": "ES256"}], ids=["RS256", "ES256"])
def test_an_id_token_is_exchanged_once(client, house, how):
    token = house.mint(how)
    body = {"id_token": token}

    assert client.post("/oidc/house/exchange", json=body).status_code == 200
    assert outcome(client.post("/oidc/house/exchange", json=body)) == (401, "invalid_id_token")


def test_an_id_token_without_audience_is_taken_by_its_party(client, house):
    token = house.mint(aud=None, azp="our-id")

    assert client.post("/oidc/house/exchange", json={"id_token": token}).status_code == 200


@pytest.mark.parametrize(("nonce", "status"), [("mine", 200), ("another", 401)])
def test_an_exchange_may_name_the_nonce(client, house, nonce, status):
    body = {"id_token": house.mint(nonce="mine"), "nonce": nonce}

    assert client.post("/oidc/house/exchange", json=body).status_code == status


@pytest.mark.parametrize("token", ["x", "a.b.c", "\u00e9", "a" * 16_000])
def test_what_is_no_id_token_is_refused(client, token):
    answer = client.post("/oidc/house/exchange", json={"id_token": token})

    assert outcome(answer) == (401, "invalid_id_token")


def test_one_who_proves_the_email_gets_the_account_and_nobody_else_keeps_it(client, house):
    squatter = Person.register(client, "squatter", email="ada@example.org")
    key = client.post("/api-keys", json={"name": "kept"}, headers=squatter.bearer).json["key"]
    house.arrange(**VERIFIED)

    ada = sign_in(client, house).json

    assert ada["user"]["id"] == squatter.user["id"]
    assert squatter.get("/me").status_code == 401
    assert squatter.refresh().status_code == 401
    assert client.get("/me", headers={"X-API-Key": key}).status_code == 401
    body = {"username": "squatter", "password": PASSWORD}
    assert outcome(client.post("/login", json=body)) == (401, "invalid_credentials")


def test_an_account_whose_email_was_proven_before_keeps_its_password(client, house, execute):
    ada = Person.register(client, "ada", email="ADA@example.org")
    execute("UPDATE users SET email_verified = true")
    house.arrange(**VERIFIED)

    assert sign_in(client, house).json["user"]["id"] == ada.user["id"]
    assert ada.get("/me").status_code == 200
    assert Person.sign_in(client, "ada").user["id"] == ada.user["id"]


@pytest.mark.parametrize(
    ("provider", "claims"),
    [
        pytest.param("house", VERIFIED | {"email_verified": False}, id="not verified"),
        pytest.param("house", {"email": "ada@example.org"}, id="nothing said"),
        pytest.param("house", VERIFIED | {"email_verified": 1}, id="no truth value"),
        pytest.param("doubtful", VERIFIED, id="by an issuer that is not trusted"),
    ],
)
def test_an_unproven_email_joins_no_accounts(client, house, provider, claims):
    ada = Person.register(client, "ada", email="ada@example.org")
    token = house.mint(**claims)

    answer = client.post(f"/oidc/{provider}/exchange", json={"id_token": token})

    assert answer.status_code == 200
    assert answer.json["user"]["id"] != ada.user["id"]
    assert answer.json["user"]["email"] is None
    assert answer.json["user"]["username"].startswith("ada-")
    assert ada.get("/me").status_code == 200


@pytest.mark.parametrize(
    "username", ["\u5c71\u7530", "...", "a\u202eb", "x" * 150, "", "root@example.org"]
)
def test_every_name_over_there_becomes_a_fit_one_here(client, house, username):
    token = house.mint(preferred_username=username, sub=f"with {username}")

    answer = client.post("/oidc/house/exchange", json={"id_token": token})

    assert answer.status_code == 200, answer.text


def test_a_disabled_account_stays_out(client, house, execute):
    house.arrange(**VERIFIED)
    sign_in(client, house)
    execute("UPDATE users SET disabled_at = created_at WHERE username = 'ada'")

    assert outcome(sign_in(client, house)) == (403, "account_disabled")


def test_a_provider_under_another_name_is_not_believed(make_settings, environment, house):
    house.arrange(how={"issuer": "https://another.example"})
    client = create_app(make_settings(**environment)).test_client()

    refused = client.get("/oidc/house/login")

    assert outcome(refused) == (503, "provider_unavailable")
    assert refused.headers["Retry-After"]


def test_a_provider_that_is_away_is_told(make_settings, environment):
    away = {"OIDC_HOUSE_ISSUER": f"http://127.0.0.1:{free_port()}"}
    client = create_app(make_settings(**environment | away)).test_client()

    assert outcome(client.get("/oidc/house/login")) == (503, "provider_unavailable")


@pytest.mark.parametrize(
    ("change", "variable"),
    [
        ({"OIDC_PROVIDERS": "House!"}, "OIDC_PROVIDERS"),
        ({"OIDC_HOUSE_CLIENT_ID": ""}, "OIDC_HOUSE_ISSUER"),
        ({"OIDC_HOUSE_ISSUER": "http://provider.example"}, "OIDC_HOUSE_ISSUER"),
        ({"OIDC_HOUSE_TRUST_EMAIL": "perhaps"}, "OIDC_HOUSE_TRUST_EMAIL"),
    ],
)
def test_a_wrong_setting_is_named(make_settings, environment, change, variable):
    with pytest.raises(SettingsError, match=variable):
        make_settings(**environment | change)
