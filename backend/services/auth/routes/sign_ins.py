"""How sign-ins end, for Prometheus."""

from typing import Final

from flask import Flask, Response, request
from prometheus_client import Counter

from backend.chassis.observability.metrics import Metrics, problem_code
from backend.services.auth.errors import InvalidCredentials, RefreshReused, TooManyAttempts

# What each of these doors counts as. Whoever comes through has shown who they are.
_DOORS: Final = {
    "sessions.login": "password",
    "sessions.refresh": "refresh",
    "accounts.register": "register",
    "api_keys.exchange": "api_key",
    "external.callback": "external",
    "external.exchange": "external",
}
# Counted from 0 on: Prometheus sees no growth in a number that begins with its first event.
_EXPECTED: Final = (
    *((method, "success") for method in sorted(set(_DOORS.values()))),
    ("password", InvalidCredentials.code),
    ("password", TooManyAttempts.code),
    ("refresh", RefreshReused.code),
)


def count_sign_ins(app: Flask, metrics: Metrics) -> None:
    """Count in *metrics* who was let in and who was not, and why."""
    sign_ins = Counter(
        "auth_sign_ins",
        "Attempts to sign in or go on, by the problem that they ended with or `success`.",
        ("method", "outcome"),
        registry=metrics.registry,
    )

    for labels in _EXPECTED:
        sign_ins.labels(*labels)

    @app.after_request
    def count(response: Response) -> Response:
        method = _DOORS.get(request.endpoint or "")
        if method is not None:
            sign_ins.labels(method, problem_code(response) or "success").inc()
        return response
