"""Checks of settings that need no packages: `.env` lines, ports, numbers, URLs."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from backend.chassis.catalog import CATALOG
from backend.chassis.diagnostics import Finding, check_connection, error, warning
from backend.chassis.replaced_variables import (
    find_unknown_connection_limits,
    list_connection_limits,
)
from backend.operations.supervisor.environment import EnvironmentVariables
from backend.operations.supervisor.plan import Plan, find_shared_ports


def check_settings(
    plan: Plan, variables: EnvironmentVariables, *, running: bool
) -> Iterator[Finding]:
    """Yield the problems of the settings; *running* is true if the services run on this host."""
    yield from _check_dotenv_lines(variables)
    yield from _check_shared_ports(plan)
    yield from _check_numbers(variables)
    yield from _check_service_urls(plan, variables, running=running)
    yield from _check_public_url(variables)
    yield from _check_replaced_variables(variables)


def _check_dotenv_lines(variables: EnvironmentVariables) -> Iterator[Finding]:
    for file in variables.files:
        for number in file.invalid_lines:
            # The line itself is not shown: it may contain a secret.
            yield error(
                ".env",
                f"Line {number} of {file.name} is not an assignment.",
                "It is ignored, and its variable keeps the default.",
                "Write NAME=value, or start a comment with #.",
                f"{file.name}, line {number}",
            )


def _check_shared_ports(plan: Plan) -> Iterator[Finding]:
    for port, names in find_shared_ports(plan).items():
        yield error(
            "ports",
            f"{' and '.join(names)} are set to the same port, {port}.",
            "Only one of them can start.",
            "Set another port for one of them, or unset the variables.",
        )


def _check_numbers(variables: EnvironmentVariables) -> Iterator[Finding]:
    for service in CATALOG:
        prefix = service.port_variable.removesuffix("_PORT")
        for name in (f"{prefix}_WORKERS", f"{prefix}_THREADS"):
            value = variables.get(name)
            if value is not None and not (value.isdecimal() and int(value) >= 1):
                yield error(
                    service.full_name,
                    f"{name} must be a whole number of at least 1; it is {value!r}.",
                    f"{service.full_name} does not start.",
                    f"Correct {name}.",
                )


def _check_service_urls(
    plan: Plan, variables: EnvironmentVariables, *, running: bool
) -> Iterator[Finding]:
    own_addresses = {(program.address, program.port) for program in plan.programs}
    for service in CATALOG:
        value = variables.get(service.url_variable) or ""
        for url in filter(None, map(str.strip, value.split(","))):
            parts = urlsplit(url)
            if problem := _explain_invalid_url(url):
                reason = problem
            elif not running and (parts.hostname, parts.port) in own_addresses:
                continue  # it is not running yet
            elif failure := check_connection(url):
                reason = f"does not respond ({failure})"
            else:
                continue
            yield error(
                service.full_name,
                f"{url} in {service.url_variable} {reason}.",
                f"Requests to {service.full_name} fail.",
                f"Start it, or correct {service.url_variable}.",
            )


def _check_public_url(variables: EnvironmentVariables) -> Iterator[Finding]:
    url = variables.get("PUBLIC_URL")
    if url is not None and (problem := _explain_invalid_url(url)):
        yield error(
            "PUBLIC_URL",
            f"PUBLIC_URL, {url}, {problem}.",
            "Links in mails and redirects after an external sign-in do not work.",
            "Set PUBLIC_URL to the gateway's public address, such as https://agent.example.org",
        )


def _check_replaced_variables(variables: EnvironmentVariables) -> Iterator[Finding]:
    if variables.get("PORT"):
        yield warning(
            "PORT",
            "PORT is set. It is the port of one service in a container.",
            "The start script ignores it.",
            "Set GATEWAY_PORT for the gateway, or the variable of another service's port.",
        )
    for name in find_unknown_connection_limits(variables.merged()):
        yield warning(
            name,
            f"{name} limits nothing here.",
            "It has no effect.",
            f"Use one of {', '.join(list_connection_limits())}.",
        )


def _explain_invalid_url(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "is not a valid URL"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "does not begin with http:// or https:// and a host"
    return None
