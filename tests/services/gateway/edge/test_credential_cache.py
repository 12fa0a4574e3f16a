"""Test the cache of verified credentials, with a clock that the test moves."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from backend.security import HttpError, Principal
from backend.security.authentication import Credentials
from backend.security.revocation import SessionClaims
from backend.services.gateway.domain.caller_identity import AuthenticatedCaller
from backend.services.gateway.edge.credential_cache import CredentialCache

CREDENTIALS = Credentials(authorization="Bearer token")


class Authenticator:
    """Authenticates the same principal until `expired` is set, and counts its calls."""

    def __init__(self, lifetime_seconds):
        self.revocation_epoch = 0
        self.expired = False
        self.calls = 0
        self._expires_at = time.time() + lifetime_seconds

    def authenticate_caller(self, _credentials, _address):
        self.calls += 1
        if self.expired:
            raise HttpError(401, "invalid_token", "Invalid token", "The token has expired.")
        claims = SessionClaims("session", "user", 0, "tenant", 0)
        return AuthenticatedCaller(
            Principal("user", "tenant", "session", frozenset(), claims, self._expires_at)
        )


@pytest.fixture
def cache_for():
    """Return a function that runs *steps(identify, clock, cache)* with a cache on an event loop."""

    def run(authenticator, steps):
        async def main():
            loop, clock = asyncio.get_running_loop(), [1000.0]
            with ThreadPoolExecutor(1) as executor:
                cache = CredentialCache(authenticator, executor, loop, lambda: clock[0])

                async def identify():
                    result = loop.create_future()
                    cache.identify_caller(CREDENTIALS, "10.0.0.1", result.set_result)
                    return await asyncio.wait_for(result, 5)

                await steps(identify, clock, cache)

        asyncio.run(main())

    return run


def test_caller_is_verified_again_when_the_token_expires(cache_for):
    authenticator = Authenticator(lifetime_seconds=30)

    async def steps(identify, clock, _cache):
        first = await identify()
        clock[0] += 29
        assert await identify() is first
        assert authenticator.calls == 1
        authenticator.expired = True
        clock[0] += 2
        assert (await identify()).code == 401

    cache_for(authenticator, steps)


def test_caller_with_a_long_token_is_verified_again_after_a_minute(cache_for):
    authenticator = Authenticator(lifetime_seconds=3600)

    async def steps(identify, clock, _cache):
        await identify()
        clock[0] += 59
        await identify()
        assert authenticator.calls == 1
        clock[0] += 2
        await identify()
        assert authenticator.calls == 2

    cache_for(authenticator, steps)


def test_revocation_ends_all_cached_authentications(cache_for):
    authenticator = Authenticator(lifetime_seconds=3600)

    async def steps(identify, _clock, _cache):
        await identify()
        authenticator.revocation_epoch += 1
        await identify()
        assert authenticator.calls == 2

    cache_for(authenticator, steps)


def test_revocation_ends_an_authentication_that_a_connection_holds(cache_for):
    authenticator = Authenticator(lifetime_seconds=3600)

    async def steps(identify, clock, cache):
        held = await identify()
        assert cache.is_valid(held, clock[0])
        authenticator.revocation_epoch += 1
        await identify()  # by another connection
        assert not cache.is_valid(held, clock[0])

    cache_for(authenticator, steps)


def test_rejection_is_cached_for_a_second(cache_for):
    authenticator = Authenticator(lifetime_seconds=30)
    authenticator.expired = True

    async def steps(identify, clock, _cache):
        for pause, calls in ((0, 1), (0.9, 1), (0.2, 2)):
            clock[0] += pause
            assert (await identify()).code == 401
            assert authenticator.calls == calls

    cache_for(authenticator, steps)
