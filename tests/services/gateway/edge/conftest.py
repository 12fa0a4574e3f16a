"""Fixtures: a running asyncio data path in front of the echo service."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from backend.chassis.dns import HostResolver
from tests.services.gateway.data_paths import RunningEdge


@pytest.fixture
def edge_for(app_for) -> Iterator[Callable[..., RunningEdge]]:
    """Return a function that runs the data path with the given settings."""
    with ExitStack() as stack:

        def run(
            redis_url: str | None = None, resolver: HostResolver | None = None, **variables: str
        ) -> RunningEdge:
            return stack.enter_context(RunningEdge(app_for(resolver, **variables), redis_url))

        yield run


@pytest.fixture
def edge(edge_for) -> RunningEdge:
    return edge_for()


@pytest.fixture
def bearer(identities) -> str:
    return f"Authorization: Bearer {identities.token()}"
