"""Cross-origin resource sharing (CORS): the setting, and headers of a service in debug mode.

In normal operation only the gateway sends these headers (`services/gateway/domain/cors.py`). It
removes those of the services, so they are never sent twice.
"""

from flask import Flask

from backend.chassis.settings import Env, SettingsError


def load_cors_origins(env: Env) -> tuple[str, ...]:
    """Return the origins of CORS_ORIGINS in lower case; `*` stands for all.

    Raises:
        SettingsError: a value is not an origin, or is `*` in production.
    """
    origins = env.text_list("CORS_ORIGINS")
    for origin in origins:
        if origin == "*" and env.is_production:
            raise SettingsError("CORS_ORIGINS must list exact origins in production, not '*'.")
        if origin != "*" and (not origin.startswith(("http://", "https://")) or "*" in origin):
            raise SettingsError(
                f"CORS_ORIGINS: {origin!r} is not an origin. Write scheme and host, such as "
                "https://app.example."
            )
    return tuple(origin.rstrip("/").lower() for origin in origins)


def allow_cross_origin_requests(app: Flask, origins: tuple[str, ...]) -> None:
    """Allow pages of *origins* to call the own port of a service that runs in debug mode."""
    if origins:
        # Imported only here: no process needs it in normal operation.
        from flask_cors import CORS

        CORS(app, origins=list(origins), expose_headers=["X-Request-ID", "Retry-After"])
