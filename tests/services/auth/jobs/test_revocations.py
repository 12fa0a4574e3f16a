"""What has ended stays ended everywhere, whatever becomes of the shared server."""

import time

import pytest

from backend.security.authentication import open_revocations
from backend.security.redis import connect
from backend.security.revocation import MARKER, SharedRevocations, Standing, Verdict
from backend.security.tokens import TokenVerifier
from backend.services.auth.app import create_app
from tests.servers import wait_until
from tests.services.auth.people import Person


@pytest.fixture
def database_url(each_database_url):
    return each_database_url


@pytest.fixture
def app(make_settings, valkey):
    """Auth on the real clock, with a shared server."""
    return create_app(make_settings(REDIS_URL=valkey.url))


@pytest.fixture
def elsewhere(app, valkey):
    """What another service asks before it lets somebody in."""
    verifier: TokenVerifier = app.extensions["backend.security"].tokens
    revocations = SharedRevocations(connect(valkey.url))

    def verdict(person: Person) -> Verdict:
        claims = verifier.verify(person.access_token)
        tenant = claims.memberships[0]
        return revocations.verdict(
            Standing(
                claims.session_id,
                claims.user_id,
                claims.generation,
                tenant.tenant_id,
                tenant.generation,
            )
        )

    return verdict


def test_a_logout_reaches_other_services_within_a_second(client, elsewhere, valkey):
    wait_until(lambda: client.get("/health") and valkey.client.get(MARKER))
    ada, bob = Person.register(client, "ada"), Person.register(client, "bob")
    assert elsewhere(ada) is elsewhere(bob) is Verdict.GOOD

    client.post("/logout", headers=ada.bearer)
    client.post("/logout/all", headers=bob.bearer)

    wait_until(lambda: elsewhere(ada) is Verdict.REVOKED, 1)
    wait_until(lambda: elsewhere(bob) is Verdict.REVOKED, 1)


def test_an_emptied_server_revives_nothing_and_is_told_again(client, elsewhere, valkey):
    wait_until(lambda: client.get("/health") and valkey.client.get(MARKER))
    ada, bob, cy = (Person.register(client, name) for name in ("ada", "bob", "cy"))
    client.post("/logout", headers=ada.bearer)
    client.post("/logout/all", headers=bob.bearer)

    valkey.client.flushall()

    until = time.monotonic() + 2
    while time.monotonic() < until:
        assert elsewhere(ada) is not Verdict.GOOD
        assert elsewhere(bob) is not Verdict.GOOD
    assert (elsewhere(ada), elsewhere(bob)) == (Verdict.REVOKED, Verdict.REVOKED)
    assert elsewhere(cy) is Verdict.GOOD


def test_a_logout_while_the_server_is_frozen_is_passed_on_when_it_thaws(client, elsewhere, valkey):
    wait_until(lambda: client.get("/health") and valkey.client.get(MARKER))
    ada = Person.register(client, "ada")
    assert client.get("/me", headers=ada.bearer).status_code == 200
    assert elsewhere(ada) is Verdict.GOOD

    valkey.freeze()
    refused = client.post("/logout", headers=ada.bearer)
    valkey.thaw()

    # A logout is a write: while nobody can say whether the session stands, it is
    # refused rather than half done.
    assert refused.status_code in (204, 503)
    if refused.status_code == 503:
        wait_until(lambda: client.post("/logout", headers=ada.bearer).status_code == 204, 5)
    wait_until(lambda: elsewhere(ada) is Verdict.REVOKED, 5)


def test_alone_a_restarted_auth_remembers_what_had_ended(make_settings):
    settings = make_settings()
    client = create_app(settings).test_client()
    ada = Person.register(client, "ada")
    client.post("/logout", headers=ada.bearer)

    restarted = create_app(settings).test_client()

    assert restarted.get("/me", headers=ada.bearer).status_code == 401
    assert open_revocations(None).knows_all() is False
