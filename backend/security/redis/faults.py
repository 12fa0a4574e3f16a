"""What is wrong with the way to Redis that no waiting mends."""

import ssl

from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    RedisError,
    ResponseError,
)


def trouble(error: RedisError) -> str | None:
    """A sentence that says what to do; None where it may be better soon."""
    if isinstance(error, AuthenticationError):
        return "Redis does not accept the user and password of REDIS_URL: correct them there."
    if isinstance(error, NoPermissionError):
        return f"Redis lets the user of REDIS_URL do too little ({error}): extend its ACL."
    tls = _tls_failure(error)
    if tls is not None:
        return (
            f"TLS to Redis failed ({tls}): look at rediss:// and ssl_ca_certs in REDIS_URL, and "
            "whether the server speaks TLS on that port."
        )
    if (isinstance(error, ResponseError) and "SELECT" in str(error)) or "DB index" in str(error):
        return f"Redis has no such database ({error}): a cluster has 0 alone. Correct REDIS_URL."
    return None


def _tls_failure(error: BaseException | None) -> str | None:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return str(error.reason or error)
        error = error.__cause__ or error.__context__
    return None
