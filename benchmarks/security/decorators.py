"""Cost of the decorators per request with warm caches.

python -m benchmarks.security.decorators
"""

import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version

from flask import Flask

from backend.security import Input, Permission, require_permission, validate_input
from tests.identities import Identities

_ROUNDS, _CALLS = 15, 400


class Query(Input):
    """A small request body."""

    query: str
    k: int = 5


def plain() -> str:
    return ""


@require_permission(Permission.RAG_READ)
@validate_input(Query)
def guarded(query: Query) -> str:  # noqa: ARG001
    return ""


def microseconds(app: Flask, view: Callable[[], object], headers: dict[str, str]) -> float:
    """Return the median time of a call in its own request, in microseconds."""
    rounds = []
    for _ in range(_ROUNDS):
        seconds = 0.0
        for _ in range(_CALLS):
            with app.test_request_context(
                method="POST", json={"query": "what is it", "k": 3}, headers=headers
            ):
                started = time.perf_counter()
                view()
                seconds += time.perf_counter() - started
        rounds.append(seconds / _CALLS * 1e6)
    return statistics.median(rounds)


def main() -> None:
    identities = Identities()
    app = identities.trust(Flask("bare"))
    headers = identities.bearer()
    both = microseconds(app, guarded, headers) - microseconds(app, plain, headers)
    parts = [f"{name} {version(name)}" for name in ("flask", "pyjwt", "pydantic")]
    print(f"require_permission + validate_input, warm: {both:.0f} µs a request (limit: 250)")
    print(f"{platform.machine()}, Python {platform.python_version()}, {', '.join(parts)}")


if __name__ == "__main__":
    main()
