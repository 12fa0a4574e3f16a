"""Checks that `doctor` runs for the agent: its models, and encryption at rest."""

from collections.abc import Iterator

from backend.ai.chat_models import PROVIDERS, ModelAddress
from backend.chassis.data_encryption.checks import check_encryption
from backend.chassis.diagnostics import Finding, check_connection, error, warning
from backend.services.agent.sealed_data import describe_sealed_data
from backend.services.agent.settings import Settings


def run_checks(settings: Settings, *, tables_ok: bool, running: bool) -> Iterator[Finding]:
    """Yield the problems of the agent service. Each server of models is connected to once."""
    del running
    file = settings.common.data_dir / "agent.db"
    if tables_ok and (not settings.database_url.startswith("sqlite") or file.exists()):
        yield from check_encryption(describe_sealed_data(settings))
    yield from _check_models(settings)


def _check_models(settings: Settings) -> Iterator[Finding]:
    checked_urls = set()
    for address in settings.models.addresses:
        provider = PROVIDERS.get(address.provider)
        if provider is not None and provider.extra is not None and not provider.is_installed:
            yield error(
                "agent",
                f"The packages of model {address.id} are not installed.",
                "Requests to it fail.",
                f"./start_microservices.sh install --extra {provider.extra}",
            )
        if address.base_url and address.base_url not in checked_urls:
            checked_urls.add(address.base_url)
            yield from _check_server(address)


def _check_server(address: ModelAddress) -> Iterator[Finding]:
    if (reason := check_connection(address.base_url)) is not None:
        yield warning(
            "agent",
            f"The server of the model {address.id} does not respond ({reason}).",
            "Requests to it fail, unless LLM_FALLBACK names another model.",
            "Start it, or correct LLM. docs/operations/models.md describes the format.",
        )
