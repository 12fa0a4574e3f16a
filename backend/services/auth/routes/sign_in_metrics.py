"""Prometheus counter of sign-ins by method and outcome."""

from typing import Final

from flask import Flask, Response, request
from prometheus_client import Counter

from backend.chassis.observability.metrics import Metrics, get_problem_code
from backend.services.auth.errors import InvalidCredentials, RefreshReused, TooManyAttempts

# `method` label by endpoint. A successful response means that the caller was authenticated.
_METHODS: Final = {
    "sessions.login": "password",
    "sessions.refresh": "refresh",
    "accounts.register_account": "register",
    "api_keys.exchange_api_key": "api_key",
    "external.complete_login": "external",
    "external.exchange_id_token": "external",
}
# Label sets that exist from the start with value 0: Prometheus cannot compute an increase for a
# series that starts with its first event.
_INITIAL_LABELS: Final = (
    *((method, "success") for method in sorted(set(_METHODS.values()))),
    ("password", InvalidCredentials.code),
    ("password", TooManyAttempts.code),
    ("refresh", RefreshReused.code),
)


def register_sign_in_metrics(app: Flask, metrics: Metrics) -> None:
    """Register the counter in *metrics* and count the responses of *app*."""
    sign_ins = Counter(
        "auth_sign_ins",
        "Sign-ins and token refreshes, by method and by error code or `success`.",
        ("method", "outcome"),
        registry=metrics.registry,
    )

    for labels in _INITIAL_LABELS:
        sign_ins.labels(*labels)

    @app.after_request
    def count(response: Response) -> Response:
        method = _METHODS.get(request.endpoint or "")
        if method is not None:
            sign_ins.labels(method, get_problem_code(response) or "success").inc()
        return response
