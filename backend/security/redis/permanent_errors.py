"""Redis errors that a retry cannot resolve."""

import ssl

from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    RedisError,
    ResponseError,
)


def explain_permanent_error(error: RedisError) -> str | None:
    """Return what is wrong and what to do, or None if *error* may be temporary."""
    if isinstance(error, AuthenticationError):
        return "Redis rejects the user name or password in REDIS_URL. Correct them."
    if isinstance(error, NoPermissionError):
        return f"The Redis user in REDIS_URL lacks permissions ({error}). Extend its ACL."
    tls = _tls_failure(error)
    if tls is not None:
        return (
            f"The TLS connection to Redis failed ({tls}). Check rediss:// and ssl_ca_certs in "
            "REDIS_URL, and that the server accepts TLS on that port."
        )
    if (isinstance(error, ResponseError) and "SELECT" in str(error)) or "DB index" in str(error):
        return (
            f"Redis has no such database ({error}). A cluster has only database 0. "
            "Correct REDIS_URL."
        )
    return None


def _tls_failure(error: BaseException | None) -> str | None:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return str(error.reason or error)
        error = error.__cause__ or error.__context__
    return None
