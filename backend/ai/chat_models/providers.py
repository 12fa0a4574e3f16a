"""Registry of chat model providers, one row per provider.

To support another provider, add a row and a module of this package that defines
`open_model(address: ModelAddress, settings: ModelSettings) -> BaseChatModel`. The `LLM` address
format, the API key rules, the installation check of `doctor` and the model factory use this table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

from backend.ai.local_model.server import CONTEXT_TOKENS

# Ollama's own default of 4,096 tokens is filled by a few document chunks.
_OLLAMA_CONTEXT_TOKENS: Final = 8_192


@dataclass(frozen=True, slots=True)
class Provider:
    """Configuration and module of a chat model provider."""

    name: str
    # Module of this package that defines open_model. It is imported when a model is opened.
    module: str
    # The import name of the LangChain integration that `module` needs.
    package: str
    # The extra that installs `package`; None if it is a base dependency.
    extra: str | None = None
    # None if the operator has to configure the server's URL.
    default_url: str | None = None
    # The variable of the provider's own API key. Its models cannot be used without a key.
    api_key_variable: str | None = None
    # True if the provider's models may use LLM_API_KEY.
    accepts_shared_api_key: bool = False
    # The context window in tokens, unless LLM_CONTEXT_TOKENS is set.
    default_context_tokens: int | None = None
    # The context window in tokens of a provider that ignores LLM_CONTEXT_TOKENS.
    fixed_context_tokens: int | None = None
    # True if an operator can choose the provider with LLM or LLM_PROVIDER.
    is_configurable: bool = True

    @property
    def is_installed(self) -> bool:
        """True if the package that opens the provider's models is installed."""
        return find_spec(self.package) is not None


_ROWS: Final = (
    Provider(
        "openai",
        module="openai_platform",
        package="langchain_openai",
        default_url="https://api.openai.com/v1",
        api_key_variable="OPENAI_API_KEY",
        accepts_shared_api_key=True,
    ),
    Provider(
        "anthropic",
        module="anthropic",
        package="langchain_anthropic",
        extra="anthropic",
        default_url="https://api.anthropic.com",
        api_key_variable="ANTHROPIC_API_KEY",
        accepts_shared_api_key=True,
    ),
    Provider(
        "ollama",
        module="ollama",
        package="langchain_ollama",
        extra="ollama",
        default_url="http://127.0.0.1:11434",
        default_context_tokens=_OLLAMA_CONTEXT_TOKENS,
    ),
    Provider(
        "openai-compatible",
        module="openai_compatible",
        package="langchain_core",
        accepts_shared_api_key=True,
    ),
    Provider(
        "local",
        module="local_server",
        package="langchain_core",
        fixed_context_tokens=CONTEXT_TOKENS,
        is_configurable=False,
    ),
)

PROVIDERS: Final[Mapping[str, Provider]] = {row.name: row for row in _ROWS}
