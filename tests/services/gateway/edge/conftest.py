"""A running edge over the echoing service."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from backend.chassis.dns import Names
from tests.services.gateway.carriers import RunningEdge


@pytest.fixture
def edge_for(app_for) -> Iterator[Callable[..., RunningEdge]]:
    """A function from settings to a running edge."""
    with ExitStack() as stack:

        def run(
            redis_url: str | None = None, names: Names | None = None, **variables: str
        ) -> RunningEdge:
            return stack.enter_context(RunningEdge(app_for(names, **variables), redis_url))

        yield run


@pytest.fixture
def edge(edge_for) -> RunningEdge:
    return edge_for()


@pytest.fixture
def bearer(identities) -> str:
    return f"Authorization: Bearer {identities.token()}"
