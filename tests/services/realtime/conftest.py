"""Fixtures: the realtime service over real sockets."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.services.realtime.running import RunningRealtime, build_app


@pytest.fixture
def start(tmp_path, identities, monkeypatch) -> Iterator[Callable[..., RunningRealtime]]:
    """Return a function that starts the service with the given settings."""
    # The consumer ends after the current wait for events.
    monkeypatch.setattr("backend.chassis.messaging.consumer._RECEIVE_SECONDS", 0.2)
    (tmp_path / "data").mkdir(exist_ok=True)
    with ExitStack() as stack:

        def run(redis_url=None, limits=None, port=0, **variables: str) -> RunningRealtime:
            app = build_app(tmp_path, identities, redis_url, limits, **variables)
            return stack.enter_context(RunningRealtime(app, port))

        yield run


@pytest.fixture
def realtime(start) -> RunningRealtime:
    return start()


@pytest.fixture
def token(identities) -> str:
    return identities.token(permissions=("packages:read", "agent:query", "chat:read"))
