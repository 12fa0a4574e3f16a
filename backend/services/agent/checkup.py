"""What the doctor asks of the agent: whether its models can be reached, and are installed for."""

from collections.abc import Iterator
from importlib.util import find_spec

from backend.ai.chat_models.addresses import Address
from backend.chassis.diagnostics import Finding, connection_error, error, warning
from backend.services.agent.settings import Settings

# Packages that a provider needs beyond the locked ones; its extra is called like the provider.
_PACKAGES = {"ollama": "langchain_ollama", "anthropic": "langchain_anthropic"}


def findings(settings: Settings, *, tables: bool, running: bool) -> Iterator[Finding]:  # noqa: ARG001
    """Each model once, and each server once."""
    asked = set()
    for address in settings.models.addresses:
        package = _PACKAGES.get(address.provider)
        if package is not None and find_spec(package) is None:
            yield error(
                "agent",
                f"The model {address.id} needs what is not installed.",
                "Requests to it fail.",
                f"./start_microservices.sh install --extra {address.provider}",
            )
        if address.base_url and address.base_url not in asked:
            asked.add(address.base_url)
            yield from _reached(address)


def _reached(address: Address) -> Iterator[Finding]:
    if (reason := connection_error(address.base_url)) is not None:
        yield warning(
            "agent",
            f"The server of the model {address.id} does not answer ({reason}).",
            "Requests to it fail, unless LLM_FALLBACK names who answers then.",
            "Start it, or correct LLM; docs/operations/models.md tells how it is written.",
        )
