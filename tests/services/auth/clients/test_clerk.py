"""Verification of Clerk's session tokens, and the download of its keys."""

from datetime import UTC, datetime, timedelta

import jwt
import pytest

from backend.services.auth.clients.clerk.http import ClerkHttp
from backend.services.auth.clients.clerk.keys import (
    ConfiguredKey,
    DownloadedKeys,
    parse_public_key,
)
from backend.services.auth.clients.clerk.tokens import ClerkTokenVerifier
from backend.services.auth.errors import InvalidClerkToken, ProviderUnavailable
from tests.clerk import ISSUER, PARTY, Clerk, get_key, get_public_pem, serve
from tests.forgery import b64
from tests.servers import wait_until

NOW = 1_800_000_000
JWKS_PATH = "/.well-known/jwks.json"


@pytest.fixture
def clerk():
    return Clerk(lambda: NOW)


@pytest.fixture
def server(clerk):
    with serve(clerk):
        yield clerk


class Clock:
    def __init__(self):
        self.seconds = 1000.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def keys(server, clock):
    http = ClerkHttp(server.url, is_configured=True, timeout_seconds=0.4)
    return DownloadedKeys(http, JWKS_PATH, clock)


def verify(token, keys=None, parties=(PARTY,)):
    keys = keys or ConfiguredKey(get_key("current").public_key())
    now = datetime.fromtimestamp(NOW, UTC)
    return ClerkTokenVerifier(ISSUER, parties, keys, lambda: now).verify_token(token)


def get_reason(token, keys=None, parties=(PARTY,)):
    with pytest.raises(InvalidClerkToken) as raised:
        verify(token, keys, parties)
    assert f"({raised.value.reason})" in str(raised.value)
    return raised.value.reason


REJECTED = [
    ("expired", {"exp": NOW - 5}),
    ("not active yet", {"nbf": NOW + 6}),
    ("not active yet", {"iat": NOW + 6}),
    ("issuer", {"iss": "https://other-cat-1.clerk.accounts.dev"}),
    ("issuer", {"iss": f"{ISSUER}/"}),
    ("issuer", {"iss": [ISSUER]}),
    ("issuer", {"iss": ...}),
    ("authorized party", {"azp": "https://evil.example"}),
    ("authorized party", {"azp": f"{PARTY}.evil.example"}),
    ("authorized party", {"azp": ""}),
    ("authorized party", {"azp": ...}),
    ("session pending", {"sts": "pending"}),
    ("impersonation", {"act": {"sub": "user_support"}}),
    ("claims", {"sid": ...}),
    ("claims", {"sid": ""}),
    ("claims", {"sub": ...}),
    ("claims", {"sub": 7}),
    ("claims", {"sub": "x" * 256}),
    ("claims", {"sub": "user_\0"}),
    ("claims", {"sid": "sess_1\n"}),
    ("claims", {"exp": ...}),
    ("claims", {"exp": "tomorrow"}),
    ("claims", {"exp": 1e400}),
    ("claims", {"exp": 10**30}),
    ("claims", {"exp": True}),
    ("claims", {"iat": ...}),
    ("claims", {"nbf": [NOW]}),
    ("claims", {"azp": [PARTY]}),
    ("claims", {"o": "org_1"}),
    ("claims", {"o": {"rol": "admin"}}),
    ("claims", {"o": {"id": "org_1"}, "org_id": "org_2"}),
    ("claims", {"fva": "now"}),
]


@pytest.mark.parametrize(("reason", "claims"), REJECTED)
def test_token_with_an_invalid_claim_is_rejected_with_the_reason(clerk, reason, claims):
    assert get_reason(clerk.sign(**claims)) == reason


@pytest.mark.parametrize(
    "claims",
    [{"exp": NOW - 4}, {"nbf": NOW + 5}, {"iat": NOW + 5}, {"nbf": ...}, {"sts": ...}],
)
def test_token_within_the_clock_skew_is_accepted(clerk, claims):
    assert verify(clerk.sign(**claims)).subject == "user_ada"


def test_token_without_a_signature_is_rejected_for_its_algorithm(clerk):
    claims = clerk.build_claims()
    for algorithm in ("none", "None", "NONE", ""):
        for signature in (b"", b"x"):
            header = {"alg": algorithm, "typ": "JWT", "kid": "ins_current"}
            token = f"{b64(header)}.{b64(claims)}.{b64(signature) if signature else ''}"
            assert get_reason(token) == "algorithm"


def test_token_signed_with_the_public_key_as_secret_is_rejected_for_its_algorithm(clerk):
    token = jwt.PyJWS().encode(b"{}", "x" * 64, algorithm="HS256")
    header = {"alg": "HS256", "typ": "JWT", "kid": "ins_current"}
    assert get_reason(token) == "algorithm"
    assert get_reason(f"{b64(header)}.{b64(clerk.build_claims())}.{b64(b'x' * 32)}") == "algorithm"


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256"])
def test_other_algorithms_of_the_same_key_are_rejected(clerk, algorithm):
    assert get_reason(clerk.sign(alg=algorithm)) == "algorithm"


def test_token_signed_with_another_key_is_rejected_for_its_signature(clerk, keys):
    assert get_reason(clerk.sign(key="other", kid="ins_current")) == "signature"
    assert get_reason(clerk.sign(key="other", kid="ins_current"), keys) == "signature"
    assert get_reason(clerk.sign(key="other"), keys) == "signature"


def test_changed_payload_is_rejected_for_its_signature(clerk):
    header, _, signature = clerk.sign().split(".")
    payload = b64(clerk.build_claims(sub="user_eve"))

    assert get_reason(f"{header}.{payload}.{signature}") == "signature"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b.c",
        "..",
        "a" * 9000,
        "é.é.é",
        f"{b64({'alg': 'RS256'})}.{b64({})}",
        f"{b64([1])}.{b64({})}.{b64(b'x')}",
        f"{b64(b'[' * 5000)}.{b64({})}.{b64(b'x')}",
        f"{b64({'alg': 'RS256', 'typ': 'at+jwt'})}.{b64({'iss': ISSUER})}.{b64(b'x')}",
        f"{b64({'alg': 'RS256', 'crit': ['x']})}.{b64({'iss': ISSUER})}.{b64(b'x')}",
        f"{b64({'alg': 'RS256', 'kid': 7})}.{b64({'iss': ISSUER})}.{b64(b'x')}",
    ],
)
def test_malformed_token_is_rejected(token):
    assert get_reason(token) == "malformed"


def test_keys_in_the_header_of_a_token_are_ignored(clerk, keys):
    own_key = get_key("other")
    jwk = jwt.algorithms.RSAAlgorithm.to_jwk(own_key.public_key(), as_dict=True)
    header = {"jwk": jwk, "jku": "https://evil.example/jwks"}
    token = clerk.sign_claims(clerk.build_claims(), "other", "ins_evil", **header)

    assert get_reason(token, keys) == "signature"


def test_any_party_is_accepted_if_none_is_configured(clerk):
    assert verify(clerk.sign(azp="https://any.example"), parties=()).id == "sess_1"
    assert verify(clerk.sign(azp=...), parties=()).id == "sess_1"


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({}, None),
        ({"o": {"id": "org_1", "rol": "admin", "slg": "acme"}}, ("org_1", "acme", True)),
        (
            {"o": {"id": "org_1", "rol": "member", "per": "read", "fpm": "1"}},
            ("org_1", None, False),
        ),
        ({"o": {"id": "org_1"}}, ("org_1", None, False)),
        (
            {"v": ..., "org_id": "org_1", "org_role": "org:admin", "org_slug": "acme"},
            ("org_1", "acme", True),
        ),
        ({"v": ..., "org_id": "org_1", "org_role": "org:member"}, ("org_1", None, False)),
        ({"v": ..., "org_id": "org_1", "org_role": "org:admin:x"}, ("org_1", None, False)),
    ],
)
def test_organization_of_both_versions_is_read(clerk, claims, expected):
    organization = verify(clerk.sign(**claims)).organization

    found = organization and (organization.id, organization.slug, organization.is_admin)
    assert found == expected


def test_age_of_the_first_factor_is_a_proof_at_the_earliest_possible_time(clerk):
    issued = datetime.fromtimestamp(NOW, UTC)

    assert verify(clerk.sign(fva=[3, -1])).proved_at == issued - timedelta(minutes=4)
    for unknown in ([-1, -1], [], ..., [10**9, 0]):
        assert verify(clerk.sign(fva=unknown)).proved_at is None


def test_unverified_email_is_not_used(clerk):
    assert verify(clerk.sign(email="a@example.org")).email is None
    assert verify(clerk.sign(email="a@example.org", email_verified=False)).email is None
    assert verify(clerk.sign(email=["a"], email_verified=True)).email is None
    assert verify(clerk.sign(email="a\0@example.org", email_verified=True)).email is None
    assert verify(clerk.sign(email="a@example.org", email_verified=True)).email == "a@example.org"


def test_keys_are_downloaded_once_and_again_after_five_minutes(clerk, keys, clock):
    for _ in range(3):
        verify(clerk.sign(), keys)
    assert clerk.requests == [JWKS_PATH]

    clock.seconds += 301
    verify(clerk.sign(), keys)
    wait_until(lambda: len(clerk.requests) == 2)


def test_new_key_is_found_and_retired_key_is_rejected(clerk, keys, clock):
    old_token = clerk.sign()
    verify(old_token, keys)
    clerk.published = ["next"]

    assert get_reason(clerk.sign(key="next"), keys) == "signature"  # within ten seconds
    clock.seconds += 11
    assert verify(clerk.sign(key="next"), keys).id == "sess_1"
    assert get_reason(old_token, keys) == "signature"


def test_unknown_key_ids_cost_one_download_in_ten_seconds(clerk, keys, clock):
    verify(clerk.sign(), keys)
    clock.seconds += 11
    for number in range(20):
        assert get_reason(clerk.sign(kid=f"ins_{number}"), keys) == "signature"

    assert len(clerk.requests) == 2


def test_token_of_another_application_costs_no_download(clerk, keys):
    assert get_reason(clerk.sign(iss="https://other.clerk.accounts.dev"), keys) == "issuer"
    assert clerk.requests == []


FAULTS = ["status", "hang", "drip", "huge", "text", "redirect", "empty"]


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_of_clerk_is_unavailable_without_keys_and_harmless_with_keys(
    clerk, keys, clock, fault
):
    clerk.fault = fault
    with pytest.raises(ProviderUnavailable):
        verify(clerk.sign(), keys)
    with pytest.raises(ProviderUnavailable):
        verify(clerk.sign(), keys)
    assert len(clerk.requests) == 1  # the next attempt is two seconds later

    clerk.fault = None
    clock.seconds += 3
    verify(clerk.sign(), keys)
    clerk.fault = fault
    clock.seconds += 3600
    assert verify(clerk.sign(), keys).id == "sess_1"
    clock.seconds += 24 * 3600
    with pytest.raises(ProviderUnavailable):
        verify(clerk.sign(), keys)


def test_new_key_is_unavailable_and_not_rejected_while_clerk_does_not_respond(clerk, keys, clock):
    verify(clerk.sign(), keys)
    clerk.published, clerk.fault = ["next"], "status"
    clock.seconds += 11

    for _ in range(3):
        with pytest.raises(ProviderUnavailable):
            verify(clerk.sign(key="next"), keys)
    assert verify(clerk.sign(), keys).id == "sess_1"
    assert len(clerk.requests) == 2

    clerk.fault = None
    clock.seconds += 11
    assert verify(clerk.sign(key="next"), keys).id == "sess_1"
    assert get_reason(clerk.sign(kid="unknown"), keys) == "signature"


def test_requests_with_a_known_key_do_not_wait_for_a_download(clerk, keys, clock):
    verify(clerk.sign(), keys)
    clerk.fault = "hang"
    clock.seconds += 301

    for _ in range(5):
        assert verify(clerk.sign(), keys).id == "sess_1"
    wait_until(lambda: len(clerk.requests) == 2)
    assert verify(clerk.sign(), keys).id == "sess_1"
    assert len(clerk.requests) == 2


def test_only_strong_rsa_keys_for_signatures_are_used(clerk, keys):
    weak = jwt.algorithms.RSAAlgorithm.to_jwk(get_key("weak", 1024).public_key(), as_dict=True)
    good = jwt.algorithms.RSAAlgorithm.to_jwk(get_key("current").public_key(), as_dict=True)
    entries = [
        7,
        {"kid": "ins_7"},
        weak | {"kid": "ins_weak"},
        good | {"kid": "ins_enc", "use": "enc"},
        good | {"kid": "ins_hs", "alg": "HS256"},
        good | {"kid": 7},
        good,
        {"kty": "oct", "k": "c2VjcmV0", "kid": "ins_oct"},
        good | {"kid": "ins_n", "n": "!"},
        good | {"kid": "ins_current"},
    ]
    clerk.get_document = lambda _path: (200, {"keys": entries})

    verify(clerk.sign(), keys)
    for kid in ("ins_enc", "ins_hs", "ins_7", "ins_oct", "ins_n", "ins_weak"):
        assert keys.find_key(kid) is None


def test_keys_of_the_issuer_are_not_requested_from_private_addresses(server):
    url = server.url.replace("127.0.0.1", "clerk.example.org")
    http = ClerkHttp(url, is_configured=False, resolve=lambda _host, _port: ["127.0.0.1"])

    with pytest.raises(ProviderUnavailable):
        http.get_json(JWKS_PATH)
    assert server.requests == []


def test_public_key_is_read_with_any_line_breaks():
    pem, expected = get_public_pem(), get_key("current").public_key().public_numbers()
    texts = [pem, pem.replace("\n", "\\n"), pem.replace("\n", " "), pem.replace("\n", "\r\n")]
    without_frame = "".join(pem.splitlines()[1:-1])

    for text in (*texts, without_frame):
        assert parse_public_key(text).public_numbers() == expected
