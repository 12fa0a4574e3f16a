"""Environment variables of the systems that the suite replaces, and the variables they set here.

docs/compatibility.md lists them. Only the standard library is imported: the start script reads
variables before any package is installed.
"""

import re
from collections.abc import Mapping
from typing import Final

# Two of them are read for one variable here, so they must have the same value.
_SAME_MEANING: Final = {
    "ENVIRONMENT": "APP_ENV",
    "FLASK_ENV": "APP_ENV",
    "POSTGRESQL_URI": "DATABASE_URL",
    "LANGCHAIN_API_KEY": "LANGSMITH_API_KEY",
    "MAX_CONNECTIONS_PER_USER": "REALTIME_SOCKETS_PER_USER",
    "MAX_CONNECTIONS_PER_TENANT": "REALTIME_SOCKETS_PER_TENANT",
    "MAX_CONNECTIONS_TOTAL": "REALTIME_SOCKETS",
    "MAX_CONNECTIONS_PER_IP": "GATEWAY_SOCKETS_PER_ADDRESS",
}
_CONNECTIONS: Final = "MAX_CONNECTIONS_"
_APP_ENVS: Final = ("development", "production")
_RATE: Final = re.compile(r"[1-9][0-9]{0,8} ?(?:/|per) ?(?:second|minute|hour|day)s?")
_DEFAULT_RATE: Final = "100/minute"


class ReplacedVariableError(Exception):
    """A variable has an invalid value, or two contradict each other. The message names them."""


def map_replaced_variables(values: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the suite that *values* sets by names of the replaced systems.

    Raises:
        ReplacedVariableError: a value is invalid, or two variables contradict each other. The
            message contains no value of a secret.
    """
    found: dict[str, str] = {}
    origins: dict[str, str] = {}
    for name, target in _SAME_MEANING.items():
        if not (value := values.get(name, "").strip()):
            continue
        _check_value(name, target, value)
        current = values.get(target, "").strip() or found.get(target)
        if current is not None and current != value:
            raise _contradiction(name, origins.get(target, target))
        found[target] = value
        origins[target] = name
    if rate := _read_rate(values):
        found["RATE_LIMIT_API"] = rate
    return {name: value for name, value in found.items() if not values.get(name, "").strip()}


def find_unknown_connection_limits(values: Mapping[str, str]) -> list[str]:
    """Return the names in *values* that begin with MAX_CONNECTIONS_ and have no meaning here."""
    return sorted(
        name
        for name, value in values.items()
        if name.startswith(_CONNECTIONS) and name not in _SAME_MEANING and value
    )


def list_connection_limits() -> list[str]:
    """Return the names beginning with MAX_CONNECTIONS_ that are read."""
    return [name for name in _SAME_MEANING if name.startswith(_CONNECTIONS)]


def _check_value(name: str, target: str, value: str) -> None:
    if target == "APP_ENV" and value not in _APP_ENVS:
        raise ReplacedVariableError(
            f"{name} must be one of {', '.join(_APP_ENVS)}; it is {value!r}. It sets APP_ENV."
        )
    if name.startswith(_CONNECTIONS):
        _check_count(name, value)


def _check_count(name: str, value: str) -> None:
    if not value.isdecimal() or int(value) < 1:
        raise ReplacedVariableError(
            f"{name} must be a whole number of at least 1; it is {value!r}."
        )


def _read_rate(values: Mapping[str, str]) -> str | None:
    """Return the rate of DEFAULT_RATE_LIMIT and BURST_LIMIT, or None if both are unset."""
    rate = values.get("DEFAULT_RATE_LIMIT", "").strip()
    burst = values.get("BURST_LIMIT", "").strip()
    if not rate and not burst:
        return None
    if rate.isdecimal() and int(rate) >= 1:
        rate = f"{rate}/minute"
    elif rate and not _RATE.fullmatch(rate):
        raise ReplacedVariableError(
            "DEFAULT_RATE_LIMIT must be a number of requests per minute or a rate such as "
            f"100/minute; it is {rate!r}."
        )
    combined = rate or _DEFAULT_RATE
    if burst:
        _check_count("BURST_LIMIT", burst)
        combined += f" burst {burst}"
    current = values.get("RATE_LIMIT_API", "").strip()
    if current and current != combined:
        raise _contradiction("DEFAULT_RATE_LIMIT" if rate else "BURST_LIMIT", "RATE_LIMIT_API")
    return combined


def _contradiction(name: str, other: str) -> ReplacedVariableError:
    return ReplacedVariableError(
        f"{name} and {other} set the same thing and have different values. Keep one of them."
    )
