"""Settings of the agent service, read from the environment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Self

from backend.ai.chat_models import ModelSettings
from backend.chassis.catalog import CATALOG, get_service
from backend.chassis.data_encryption.settings import NO_ENCRYPTION, EncryptionSettings
from backend.chassis.settings import CommonSettings, Env, SettingsError, load_service_urls
from backend.security.outbound import AllowedHost
from backend.services.agent.clients.mcp_servers import McpServer, read_mcp_servers
from backend.services.agent.domain.quotas import DailyTokenLimits
from backend.services.agent.engine.token_prices import Prices
from backend.services.agent.model import RunLimits

DEFAULT_HISTORY_TOKENS: Final = 4_000


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of one agent process."""

    common: CommonSettings
    database_url: str
    rag_urls: tuple[str, ...]
    models: ModelSettings
    limits: RunLimits
    daily_token_limits: DailyTokenLimits = field(default_factory=DailyTokenLimits)
    # Hosts whose web pages may be fetched. If empty, the tool fetch_page is not offered.
    fetch_allowlist: tuple[AllowedHost, ...] = ()
    # If empty, the tools for packages are not offered.
    packages_urls: tuple[str, ...] = ()
    # URLs of the services that declare tools, by service name.
    tool_services: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # Origins of web pages that may call the MCP endpoint of this service.
    allowed_mcp_origins: frozenset[str] = frozenset()
    mcp_servers: Mapping[str, McpServer] = field(default_factory=dict)
    # Messages of a conversation up to this number of tokens are sent to models unabridged.
    max_history_tokens: int = DEFAULT_HISTORY_TOKENS
    # Whether traces contain messages. Readers of traces may have no access to conversations.
    traces_content: bool = False
    prices: Prices = field(default_factory=dict)
    # The master key of encryption at rest.
    encryption: EncryptionSettings = NO_ENCRYPTION

    @classmethod
    def from_env(cls, env: Env) -> Self:
        common = CommonSettings.from_env(env, "agent")
        models = ModelSettings.from_env(env)
        return cls(
            common=common,
            database_url=common.get_database_url(env),
            rag_urls=load_service_urls(env, get_service("rag")),
            packages_urls=load_service_urls(env, get_service("packages")),
            models=models,
            limits=RunLimits(
                max_model_calls=env.number("AGENT_MODEL_CALLS", 8, min_value=2),
                max_tool_calls=env.number("AGENT_TOOL_CALLS", 12, min_value=1),
                max_tokens=env.number("AGENT_RUN_TOKENS", 60_000, min_value=1_000),
                run_timeout=env.seconds("AGENT_RUN_SECONDS", 120),
                tool_timeout=env.seconds("AGENT_TOOL_SECONDS", 20),
                approval_timeout=env.seconds("AGENT_APPROVAL_SECONDS", 86_400),
            ),
            daily_token_limits=DailyTokenLimits(
                user=env.number("AGENT_DAILY_TOKENS_USER", 0),
                tenant=env.number("AGENT_DAILY_TOKENS_TENANT", 0),
            ),
            fetch_allowlist=tuple(map(_parse_allowed_host, env.text_list("AGENT_FETCH_ALLOW"))),
            tool_services={
                service.name: load_service_urls(env, service)
                for service in CATALOG
                if service.declares_agent_tools
            },
            allowed_mcp_origins=frozenset(env.text_list("MCP_ORIGINS")),
            mcp_servers=_read_mcp_servers(env, common.data_dir),
            max_history_tokens=_read_max_history_tokens(env, models),
            traces_content=env.flag("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"),
            prices=_parse_prices(env.text_list("LLM_PRICES")),
            encryption=EncryptionSettings.from_env(env),
        )


def _parse_allowed_host(text: str) -> AllowedHost:
    try:
        return AllowedHost.parse(text)
    except ValueError as error:
        raise SettingsError(
            f"AGENT_FETCH_ALLOW: {error} Example: docs.example.org,*.example.com:8443"
        ) from error


def _read_mcp_servers(env: Env, data_dir: Path) -> Mapping[str, McpServer]:
    """Read the MCP servers from the file MCP_SERVERS, or from mcp.json in the data folder."""
    file = env.path("MCP_SERVERS", str(data_dir / "mcp.json"))
    allow_stdio = env.flag("MCP_ALLOW_STDIO")
    if env.optional("MCP_SERVERS") is None and not file.exists():
        return {}
    try:
        servers = read_mcp_servers(file, env.optional, allow_stdio=allow_stdio)
    except ValueError as error:
        raise SettingsError(f"MCP_SERVERS: {error}") from error
    if servers and find_spec("langchain_mcp_adapters") is None:
        raise SettingsError(
            f"{file} contains MCP servers, but the extra `mcp` is not installed. Install it: "
            "./start_microservices.sh install --extra mcp"
        )
    return servers


def _read_max_history_tokens(env: Env, models: ModelSettings) -> int:
    """Return the token limit of the history, at most half of the model's context window.

    The other half is for the prompt, the tools, their results and the answer.
    """
    max_tokens = env.number("AGENT_HISTORY_TOKENS", DEFAULT_HISTORY_TOKENS, min_value=200)
    window = models.context_tokens
    return max_tokens if window is None else min(max_tokens, window // 2)


def _parse_prices(entries: Sequence[str]) -> Prices:
    """Parse entries such as `MODEL=READ/WRITTEN`: prices of a million prompt and output tokens."""
    prices = {}
    for entry in entries:
        model, _, price = entry.rpartition("=")
        read, _, written = price.partition("/")
        try:
            prices[model] = (float(read), float(written))
        except ValueError:
            model = ""
        if not model:
            raise SettingsError(
                f"LLM_PRICES: {entry!r} is not a price. Write MODEL=READ/WRITTEN, the prices of a "
                "million prompt and output tokens in your currency, such as gpt-5-mini=0.25/2."
            )
    return prices
