"""Settings of Clerk: the issuer, invalid and contradicting values, and what doctor reports."""

import base64
import json

import pytest

from backend.chassis.clerk import load_clerk_application
from backend.chassis.settings import Env, SettingsError
from backend.operations.doctor import __main__ as doctor
from backend.services.auth.checkup import run_checks
from backend.services.auth.settings import Settings
from backend.services.gateway.settings import Settings as GatewaySettings
from tests.clerk import (
    ISSUER,
    PARTY,
    PUBLISHABLE_KEY,
    SECRET_KEY,
    WEBHOOK_SECRET,
    get_key,
    get_public_pem,
)
from tests.servers import free_port

PRODUCTION = {
    "APP_ENV": "production",
    "SECRET_KEY": "8f2c1b4d6e7a9053c1d2e3f4a5b6c7d8e9f0",
    "JWT_SECRET_KEY": "0a9b8c7d6e5f4a3b2c1d0e9f8a7b6c5d4e3f",
    "PUBLIC_URL": "https://gateway.example.org",
}


def build_key(host, mode="test"):
    return f"pk_{mode}_{base64.b64encode(host.encode()).decode()}"


@pytest.fixture
def load(tmp_path):
    """Return a function that loads the settings of auth with the given variables."""

    def build(**variables):
        values = {"DATA_DIR": str(tmp_path), "ADMIN_PASSWORD": "an admin's own words"}
        return Settings.from_env(Env(values | variables))

    return build


def test_issuer_is_read_from_either_variable():
    for name in ("CLERK_PUBLISHABLE_KEY", "NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY"):
        assert load_clerk_application(Env({name: PUBLISHABLE_KEY})).issuer == ISSUER
    same = Env(
        {
            "CLERK_PUBLISHABLE_KEY": build_key("clerk.example.org$", "live"),
            "NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY": build_key("clerk.example.org$", "live"),
        }
    )
    application = load_clerk_application(same)
    assert (application.issuer, application.is_live) == ("https://clerk.example.org", True)
    unpadded = build_key("clerk.example.org$").rstrip("=")
    assert load_clerk_application(Env({"CLERK_PUBLISHABLE_KEY": unpadded}))
    assert load_clerk_application(Env({})) is None


@pytest.mark.parametrize(
    "key",
    [
        "pk_test_",
        "pk_test_!!!",
        "pk_other_Y2xlcmsuZXhhbXBsZS5vcmck",
        SECRET_KEY,
        "your_publishable_key",
        build_key("clerk.example.org"),
        build_key("$"),
        build_key("localhost$"),
        build_key("clerk.example.org/path$"),
        build_key("user@clerk.example.org$"),
        build_key("clerk.example.org:443$"),
        build_key("-clerk.example.org$"),
        build_key("clerk..example.org$"),
        build_key("clerk.example.org\n$"),
        build_key("clérk.example.org$"),
        build_key("a" * 300 + ".org$"),
    ],
)
def test_invalid_publishable_key_stops_auth_and_gateway(load, key):
    for name in ("CLERK_PUBLISHABLE_KEY", "NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY"):
        with pytest.raises(SettingsError, match=f"^{name} is not a publishable key"):
            load(**{name: key})
        with pytest.raises(SettingsError, match=f"^{name} is not a publishable key"):
            GatewaySettings.from_env(Env({name: key}))


def test_contradicting_publishable_keys_are_both_named(load):
    other = build_key("other.example.org$")
    with pytest.raises(
        SettingsError, match=r"^CLERK_PUBLISHABLE_KEY and NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY"
    ):
        load(CLERK_PUBLISHABLE_KEY=PUBLISHABLE_KEY, NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY=other)


def test_contradicting_webhook_secrets_are_both_named(load):
    with pytest.raises(
        SettingsError, match=r"^CLERK_WEBHOOK_SECRET and CLERK_WEBHOOK_SIGNING_SECRET"
    ):
        load(
            CLERK_PUBLISHABLE_KEY=PUBLISHABLE_KEY,
            CLERK_WEBHOOK_SECRET=WEBHOOK_SECRET,
            CLERK_WEBHOOK_SIGNING_SECRET="whsec_b3RoZXI=",
        )
    settings = load(
        CLERK_PUBLISHABLE_KEY=PUBLISHABLE_KEY, CLERK_WEBHOOK_SIGNING_SECRET=WEBHOOK_SECRET
    )
    assert settings.clerk.webhook_secret.reveal() == WEBHOOK_SECRET


PRIVATE_PEM = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----"

INVALID = [
    ("CLERK_SECRET_KEY", "sk_live_0123456789", "CLERK_SECRET_KEY and CLERK_PUBLISHABLE_KEY"),
    ("CLERK_SECRET_KEY", PUBLISHABLE_KEY, "CLERK_SECRET_KEY is not a secret key"),
    ("CLERK_JWT_KEY", "not a key", "CLERK_JWT_KEY is not usable"),
    ("CLERK_JWT_KEY", PRIVATE_PEM, "CLERK_JWT_KEY is not usable"),
    ("CLERK_WEBHOOK_SECRET", "whsec_!", "CLERK_WEBHOOK_SECRET is not the signing secret"),
    ("CLERK_WEBHOOK_SECRET", "whsec_", "CLERK_WEBHOOK_SECRET is not the signing secret"),
    ("CLERK_AUTHORIZED_PARTIES", "app.example.org", "CLERK_AUTHORIZED_PARTIES must be origins"),
    ("CLERK_AUTHORIZED_PARTIES", f"{PARTY}/", "CLERK_AUTHORIZED_PARTIES must be origins"),
    ("CLERK_JWKS_URL", "clerk.example.org", "CLERK_JWKS_URL is not a usable URL"),
    ("CLERK_JWKS_URL", "https://[clerk/jwks", "CLERK_JWKS_URL is not a usable URL"),
    ("CLERK_JWKS_URL", "https://clerk.example.org:99999/", "CLERK_JWKS_URL is not a usable URL"),
    ("CLERK_JWKS_URL", "https://clerk.example.org:x/", "CLERK_JWKS_URL is not a usable URL"),
    ("CLERK_JWKS_URL", "https://clerk.example.org/a b", "CLERK_JWKS_URL is not a usable URL"),
    ("CLERK_JWKS_URL", "https://clerk.example.org/#keys", "CLERK_JWKS_URL is not a usable URL"),
    ("CLERK_API_URL", "https://cl\u00e9rk.example.org", "CLERK_API_URL is not a usable URL"),
    ("CLERK_API_URL", "https://clerk.example.org/?a=b", "CLERK_API_URL must have no query"),
    ("CLERK_WEBHOOK_SIGNING_SECRET", "whsec_!", "CLERK_WEBHOOK_SIGNING_SECRET is not the signing"),
    ("CLERK_JWKS_URL", "http://clerk.example.org/jwks", "CLERK_JWKS_URL must be a URL"),
    ("CLERK_API_URL", "https://user:password@clerk.example.org", "CLERK_API_URL is not a usable"),
    ("CLERK_API_URL", "https://user@clerk.example.org", "CLERK_API_URL is not a usable URL"),
    ("CLERK_ORGANIZATIONS", "acme", "CLERK_ORGANIZATIONS must map"),
    ("CLERK_ORGANIZATIONS", "org_1=a,org_1=b", "CLERK_ORGANIZATIONS must map"),
    ("CLERK_TRUST_EMAIL", "perhaps", "CLERK_TRUST_EMAIL must be true or false"),
]


@pytest.mark.parametrize(("name", "value", "message"), INVALID)
def test_invalid_value_stops_auth_with_one_sentence_without_the_secret(load, name, value, message):
    with pytest.raises(SettingsError) as raised:
        load(CLERK_PUBLISHABLE_KEY=PUBLISHABLE_KEY, **{name: value})

    assert str(raised.value).startswith(message)
    if "SECRET" in name or "password" in value:
        assert value not in str(raised.value).replace("whsec_.", "")


def test_short_public_key_stops_auth(load):
    pem = get_key("weak", 1024).public_key()
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    text = pem.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    with pytest.raises(SettingsError, match="2048 to 8192 bits"):
        load(CLERK_PUBLISHABLE_KEY=PUBLISHABLE_KEY, CLERK_JWT_KEY=text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CLERK_SECRET_KEY", SECRET_KEY),
        ("CLERK_JWT_KEY", "x"),
        ("CLERK_AUTHORIZED_PARTIES", PARTY),
        ("CLERK_WEBHOOK_SECRET", WEBHOOK_SECRET),
        ("CLERK_API_URL", "https://clerk.example.org"),
        ("CLERK_ORGANIZATIONS", "org_1=acme"),
    ],
)
def test_other_variables_need_a_publishable_key(load, name, value):
    with pytest.raises(SettingsError, match=f"^{name} is set: set CLERK_PUBLISHABLE_KEY"):
        load(**{name: value})


def test_production_requires_authorized_parties(load):
    keys = {"CLERK_PUBLISHABLE_KEY": PUBLISHABLE_KEY}
    with pytest.raises(SettingsError, match=r"^CLERK_AUTHORIZED_PARTIES must list"):
        load(**PRODUCTION, **keys)
    parties = f"{PARTY}, capacitor://localhost"
    settings = load(**PRODUCTION, **keys, CLERK_AUTHORIZED_PARTIES=parties)
    assert settings.clerk.authorized_parties == (PARTY, "capacitor://localhost")


def test_secrets_are_not_shown_in_settings(load):
    settings = load(
        CLERK_PUBLISHABLE_KEY=PUBLISHABLE_KEY,
        CLERK_SECRET_KEY=SECRET_KEY,
        CLERK_WEBHOOK_SECRET=WEBHOOK_SECRET,
    )

    assert SECRET_KEY not in repr(settings)
    assert WEBHOOK_SECRET not in repr(settings)


def test_all_invalid_values_are_reported_by_doctor_and_one_at_the_start(
    load, tmp_path, monkeypatch, capsys
):
    invalid = {
        "CLERK_PUBLISHABLE_KEY": "pk_test_",
        "CLERK_JWKS_URL": "https://[clerk",
        "CLERK_SECRET_KEY": "secret",
        "CLERK_ORGANIZATIONS": "acme",
    }
    with pytest.raises(SettingsError) as raised:
        load(**invalid)
    assert str(raised.value).startswith("CLERK_PUBLISHABLE_KEY is not a publishable key")

    for name, value in (invalid | {"DATA_DIR": str(tmp_path)}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    assert doctor.main(["auth"]) == 0

    findings = json.loads(capsys.readouterr().out)["auth"]
    assert [finding["what"].split()[0] for finding in findings] == list(invalid)


def list_problems(settings):
    findings = run_checks(settings, tables_ok=False, running=False)
    return [finding.problem for finding in findings if "CLERK" in finding.problem.upper()]


def test_doctor_reports_a_development_instance_and_keys_that_cannot_be_loaded(load):
    url = f"https://127.0.0.1:{free_port()}/jwks"
    settings = load(
        **PRODUCTION,
        CLERK_PUBLISHABLE_KEY=PUBLISHABLE_KEY,
        CLERK_AUTHORIZED_PARTIES=PARTY,
        CLERK_JWKS_URL=url,
    )
    development, keys = list_problems(settings)

    assert "development instance" in development
    assert keys.startswith("The keys of Clerk cannot be loaded")
    assert list_problems(load()) == []


def test_doctor_reports_missing_parties_in_development(load):
    settings = load(CLERK_PUBLISHABLE_KEY=PUBLISHABLE_KEY, CLERK_JWT_KEY=get_public_pem())

    assert list_problems(settings) == ["CLERK_AUTHORIZED_PARTIES is not set."]
