"""Sessions of browsers: tokens in cookies instead of the body."""

import secrets
from concurrent.futures import ThreadPoolExecutor

import pyotp
import pytest

from backend.chassis.settings import SettingsError
from backend.services.auth.app import create_app
from tests.services.auth.api_user import PASSWORD, ApiUser, get_problem
from tests.services.auth.conftest import ADMIN_PASSWORD

OWN = {"Sec-Fetch-Site": "same-origin", "X-Requested-With": "console"}
TLS = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "suite.example"}
ACCESS, REFRESH = "__Host-aas_access", "__Secure-aas_refresh"
TENANT = "aas_tenant"
LOGIN = {"username": "ada", "password": PASSWORD, "session": "cookie"}


def read_cookies(response):
    """Return the attributes of each Set-Cookie header by cookie name."""
    cookies = {}
    for line in response.headers.getlist("Set-Cookie"):
        first, *rest = line.split("; ")
        name, _, value = first.partition("=")
        cookies[name] = {"value": value, **dict(part.partition("=")[::2] for part in rest)}
    return cookies


def cookie_headers(cookies, **headers):
    """Return headers as the gateway forwards them for a browser with *cookies*."""
    pairs = "; ".join(f"{name}={cookie['value']}" for name, cookie in cookies.items())
    token = cookies[ACCESS]["value"]
    return OWN | TLS | {"Cookie": pairs, "Authorization": f"Bearer {token}"} | headers


@pytest.fixture
def browser(app, ada):
    """A client that does not store cookies itself."""
    return app.test_client(use_cookies=False)


@pytest.fixture
def cookies(browser):
    return read_cookies(browser.post("/login", json=LOGIN, headers=OWN | TLS))


def test_cookie_login_returns_the_user_and_no_token(browser, ada):
    response = browser.post("/login", json=LOGIN, headers=OWN | TLS)

    assert response.status_code == 200
    assert response.json.keys() == {"user", "expires_in"}
    assert response.json["user"]["id"] == ada.user["id"]
    assert response.headers["Cache-Control"] == "no-store"


def test_session_cookies_are_http_only_secure_and_lax(cookies):
    access, refresh = cookies[ACCESS], cookies[REFRESH]

    for cookie in (access, refresh):
        assert {"HttpOnly", "Secure"} <= cookie.keys()
        assert cookie["SameSite"] == "Lax"
        assert "Domain" not in cookie
    assert (access["Path"], access["Max-Age"]) == ("/", "600")
    assert (refresh["Path"], refresh["Max-Age"]) == ("/auth", str(30 * 24 * 3600))


def test_registration_can_open_a_cookie_session(browser):
    body = {"username": "grace", "password": PASSWORD, "session": "cookie"}

    response = browser.post("/register", json=body, headers=OWN | TLS)

    assert response.status_code == 201
    assert response.json.keys() == {"user", "expires_in"}
    assert {ACCESS, REFRESH} <= read_cookies(response).keys()


def test_second_factor_is_required_before_cookies_are_set(browser, ada):
    secret = ada.client.post("/mfa/totp", headers=ada.auth_headers).json["secret"]
    code = {"code": pyotp.TOTP(secret).at(1767268800)}
    ada.client.post("/mfa/totp/confirm", json=code, headers=ada.auth_headers)

    response = browser.post("/login", json=LOGIN, headers=OWN | TLS)

    assert get_problem(response) == (401, "totp_required")
    assert not {ACCESS, REFRESH} & read_cookies(response).keys()


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "X-Requested-With": "console"},
        {"Sec-Fetch-Site": "same-site", "X-Requested-With": "console"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Origin": "https://evil.example", "X-Requested-With": "console"},
        {"X-Requested-With": "console"},
        {},
    ],
)
@pytest.mark.parametrize("path", ["/login", "/register"])
def test_cookie_sign_in_from_another_site_is_refused(browser, path, headers):
    body = LOGIN | {"username": "grace" if path == "/register" else "ada"}

    response = browser.post(path, json=body, headers=TLS | headers)

    assert get_problem(response) == (403, "cross_site_request")
    assert "Set-Cookie" not in response.headers


def test_form_cannot_sign_in(browser):
    response = browser.post(
        "/login", data='{"username": "ada"}', content_type="text/plain", headers=OWN | TLS
    )

    assert response.status_code == 415


@pytest.mark.parametrize(
    ("host", "is_accepted"),
    [
        ("localhost:5000", True),
        ("127.0.0.1:5000", True),
        ("[::1]:5000", True),
        ("192.168.1.20:5000", False),
        ("suite.example", False),
        ("127.0.0.1.evil.example", False),
    ],
)
def test_cookies_over_http_need_a_loopback_address(browser, host, is_accepted):
    headers = OWN | {"X-Forwarded-Proto": "http", "X-Forwarded-Host": host}

    response = browser.post("/login", json=LOGIN, headers=headers)

    if is_accepted:
        assert "Secure" in read_cookies(response)[ACCESS]
    else:
        assert get_problem(response) == (403, "https_required")
        assert "TLS_CERTFILE" in response.json["detail"]
        assert ACCESS not in read_cookies(response)


def test_unprefixed_cookies_need_the_development_setting(make_settings, clock):
    client = create_app(make_settings(COOKIES_OVER_HTTP="true"), clock.now).test_client()
    body = {"username": "grace", "password": PASSWORD, "session": "cookie"}
    headers = {
        "Origin": "http://127.0.0.1:5000",
        "X-Requested-With": "console",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Host": "192.168.1.20:5000",
    }

    cookies = read_cookies(client.post("/register", json=body, headers=headers))

    assert {"aas_access", "aas_refresh"} <= cookies.keys()
    assert "Secure" not in cookies["aas_access"]
    assert "HttpOnly" in cookies["aas_access"]


def test_cookies_over_http_are_refused_in_production(make_settings):
    production = {
        "APP_ENV": "production",
        "SECRET_KEY": secrets.token_urlsafe(48),
        "JWT_SECRET_KEY": secrets.token_urlsafe(48),
    }
    make_settings(**production)

    with pytest.raises(SettingsError, match="COOKIES_OVER_HTTP"):
        make_settings(COOKIES_OVER_HTTP="true", **production)


def test_refresh_renews_both_cookies_and_detects_reuse(browser, cookies, clock):
    renewed = browser.post("/refresh", headers=cookie_headers(cookies))
    later = read_cookies(renewed)
    browser.post("/refresh", headers=cookie_headers(later))
    clock.advance(minutes=5)
    reused = browser.post("/refresh", headers=cookie_headers(cookies))

    assert renewed.status_code == 200
    assert renewed.json == {"expires_in": 600}
    assert later[REFRESH]["value"] != cookies[REFRESH]["value"]
    assert later[ACCESS]["value"] != cookies[ACCESS]["value"]
    assert get_problem(reused) == (401, "refresh_reused")
    assert read_cookies(reused)[ACCESS]["Max-Age"] == "0"
    assert read_cookies(reused)[REFRESH]["Path"] == "/auth"


def test_two_tabs_that_refresh_at_once_get_the_same_session(app, browser, cookies):
    def refresh(_):
        return app.test_client(use_cookies=False).post("/refresh", headers=cookie_headers(cookies))

    with ThreadPoolExecutor(2) as pool:
        responses = list(pool.map(refresh, range(2)))

    assert [response.status_code for response in responses] == [200, 200]
    assert len({read_cookies(response)[REFRESH]["value"] for response in responses}) == 1


def test_refresh_works_without_the_expired_access_cookie(browser, cookies):
    headers = cookie_headers(cookies)
    del headers["Authorization"]
    headers["Cookie"] = f"{REFRESH}={cookies[REFRESH]['value']}"

    assert browser.post("/refresh", headers=headers).status_code == 200


def test_refresh_from_another_site_is_refused(browser, cookies):
    headers = cookie_headers(cookies, **{"Sec-Fetch-Site": "cross-site"})

    assert get_problem(browser.post("/refresh", headers=headers)) == (403, "cross_site_request")
    assert browser.post("/refresh", headers=cookie_headers(cookies)).status_code == 200


def test_refresh_token_of_another_client_takes_precedence_over_the_cookie(browser, ada, cookies):
    bearer = {"Authorization": f"Bearer {ada.refresh_token}"}

    response = browser.post("/refresh", headers=cookie_headers(cookies) | bearer)

    assert response.status_code == 200
    assert response.json.keys() >= {"access_token", "refresh_token"}
    assert "Set-Cookie" not in response.headers


@pytest.fixture
def team(client, ada):
    """Id of a tenant that ada is a member of, beside her own."""
    admin = ApiUser.sign_in(client, "admin", ADMIN_PASSWORD)
    team_id = client.post("/tenants", json={"name": "T"}, headers=admin.auth_headers).json["id"]
    put_member(client, admin, team_id, ada)
    return team_id


def put_member(client, admin, team_id, user):
    path = f"/tenants/{team_id}/members/{user.user['id']}"
    response = client.put(path, json={"roles": ["viewer"]}, headers=admin.auth_headers)
    assert response.status_code == 201


def read_tenant(browser, cookies):
    account = browser.get("/me", headers=cookie_headers(cookies)).json
    return account["tenant_id"], account["roles"]


def test_browser_selects_a_tenant_until_it_selects_another_or_signs_out(browser, ada, team):
    home = ada.user["tenant_id"]
    cookies = read_cookies(browser.post("/login", json=LOGIN, headers=OWN | TLS))
    assert read_tenant(browser, cookies) == (home, ["user"])

    headers = cookie_headers(cookies, **{"X-Tenant-ID": team})
    cookies |= read_cookies(browser.post("/refresh", headers=headers))
    assert read_tenant(browser, cookies) == (team, ["viewer"])
    assert (cookies[TENANT]["value"], cookies[TENANT]["Path"]) == (team, "/auth")
    assert {"HttpOnly", "Secure"} <= cookies[TENANT].keys()

    cookies |= read_cookies(browser.post("/refresh", headers=cookie_headers(cookies)))
    assert read_tenant(browser, cookies) == (team, ["viewer"])

    headers = cookie_headers(cookies, **{"X-Tenant-ID": home})
    renewed = read_cookies(browser.post("/refresh", headers=headers))
    assert read_tenant(browser, cookies | renewed) == (home, ["user"])
    assert renewed[TENANT]["Max-Age"] == "0"

    response = browser.post("/logout", headers=cookie_headers(cookies | renewed))
    assert read_cookies(response)[TENANT]["Max-Age"] == "0"


@pytest.mark.parametrize("tenant", ["of nobody", "x" * 5000, "é"])
def test_tenant_of_others_is_not_selected(browser, cookies, ada, tenant):
    cookie = {TENANT: {"value": tenant}} if tenant.isascii() else {}
    headers = cookie_headers(cookies | cookie, **{"X-Tenant-ID": tenant})

    response = browser.post("/refresh", headers=headers)

    assert response.status_code == 200
    renewed = read_cookies(response)
    assert read_tenant(browser, renewed) == (ada.user["tenant_id"], ["user"])
    assert renewed.get(TENANT, {}).get("value", "") == ""


def test_other_browsers_keep_their_tenant(browser, ada, team):
    first, second = (
        read_cookies(browser.post("/login", json=LOGIN, headers=OWN | TLS)) for _ in range(2)
    )
    browser.post("/refresh", headers=cookie_headers(first, **{"X-Tenant-ID": team}))

    second |= read_cookies(browser.post("/refresh", headers=cookie_headers(second)))

    assert read_tenant(browser, second) == (ada.user["tenant_id"], ["user"])
    assert ApiUser.sign_in(browser, "ada").user["tenant_id"] == ada.user["tenant_id"]


@pytest.mark.parametrize("path", ["/logout", "/logout/all"])
def test_logout_deletes_the_cookies_and_ends_the_session(browser, cookies, path):
    response = browser.post(path, headers=cookie_headers(cookies))

    assert response.status_code == 204
    deleted = read_cookies(response)
    assert {name: (item["value"], item["Max-Age"]) for name, item in deleted.items()} == {
        ACCESS: ("", "0"),
        REFRESH: ("", "0"),
    }
    assert (deleted[ACCESS]["Path"], deleted[REFRESH]["Path"]) == ("/", "/auth")
    # Browsers accept the deletion of a prefixed cookie only with its attributes.
    assert "Secure" in deleted[ACCESS]
    assert browser.post("/refresh", headers=cookie_headers(cookies)).status_code == 401


def test_logout_works_without_the_expired_access_cookie(browser, cookies):
    headers = OWN | TLS | {"Cookie": f"{REFRESH}={cookies[REFRESH]['value']}"}

    response = browser.post("/logout", headers=headers)
    again = browser.post("/logout", headers=headers)

    for each in (response, again):
        assert each.status_code == 204
        deleted = read_cookies(each)
        assert {name: item["Max-Age"] for name, item in deleted.items()} == {
            ACCESS: "0",
            REFRESH: "0",
        }
    assert browser.get("/me", headers=cookie_headers(cookies)).status_code == 401
    assert browser.post("/refresh", headers=headers).status_code == 401


def test_logout_deletes_cookies_of_an_unknown_session(browser):
    headers = OWN | TLS | {"Cookie": f"{REFRESH}=rt_unknown"}

    response = browser.post("/logout", headers=headers)

    assert response.status_code == 204
    assert read_cookies(response)[REFRESH]["Max-Age"] == "0"


def test_logout_from_another_site_is_refused(browser, cookies):
    headers = TLS | {
        "Cookie": f"{REFRESH}={cookies[REFRESH]['value']}",
        "Sec-Fetch-Site": "cross-site",
        "X-Requested-With": "console",
    }

    response = browser.post("/logout", headers=headers)

    assert get_problem(response) == (403, "cross_site_request")
    assert "Set-Cookie" not in response.headers
    assert browser.get("/me", headers=cookie_headers(cookies)).status_code == 200


def test_logout_without_credentials_is_unauthorized(browser):
    assert browser.post("/logout", headers=OWN | TLS).status_code == 401


def test_logout_with_a_token_sets_no_cookies(ada):
    response = ada.client.post("/logout", headers=ada.auth_headers)

    assert response.status_code == 204
    assert "Set-Cookie" not in response.headers


def test_cookie_sign_in_is_audited_like_any_other(browser, ada, cookies):
    events = ada.get("/me/activity").json["items"]
    sessions = ada.get("/me/sessions").json["items"]

    assert [event["outcome"] for event in events if event["action"] == "session.login"]
    assert sorted(session["method"] for session in sessions) == ["password", "registration"]


def test_token_login_still_returns_tokens(browser):
    body = {"username": "ada", "password": PASSWORD}

    response = browser.post("/login", json=body)

    assert response.json.keys() >= {"access_token", "refresh_token", "token_type", "user"}
    assert not {ACCESS, REFRESH} & read_cookies(response).keys()


def test_unknown_session_kind_is_rejected(browser):
    response = browser.post("/login", json=LOGIN | {"session": "both"}, headers=OWN | TLS)

    assert get_problem(response) == (422, "validation_failed")
