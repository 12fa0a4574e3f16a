"""All that the agent reads from the environment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Self

from backend.ai.chat_models import ModelSettings
from backend.chassis.catalog import CATALOG, get_service
from backend.chassis.service_description import Service
from backend.chassis.settings import CommonSettings, Env, SettingsError
from backend.security.outbound import AllowedHost
from backend.services.agent.clients.mcp_servers import McpServer, read_servers
from backend.services.agent.clients.runs import Limits
from backend.services.agent.domain.evaluation import Prices
from backend.services.agent.domain.quotas import Allowance

HISTORY_TOKENS: Final = 4_000


@dataclass(frozen=True, slots=True)
class Settings:
    """What one agent process is set up with."""

    common: CommonSettings
    database_url: str
    rag_urls: tuple[str, ...]
    models: ModelSettings
    limits: Limits
    allowance: Allowance = field(default_factory=Allowance)
    # The hosts whose pages may be fetched; with none, nobody is offered to.
    fetch_allow: tuple[AllowedHost, ...] = ()
    # Services that declare tools, and where they are.
    tool_services: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # Web pages that may speak to our own MCP server.
    mcp_origins: frozenset[str] = frozenset()
    mcp_servers: Mapping[str, McpServer] = field(default_factory=dict)
    # How much of a conversation a model is told word by word.
    history_tokens: int = HISTORY_TOKENS
    # Whether traces hold what was said; a trace's readers are not the conversation's.
    traced_content: bool = False
    prices: Prices = field(default_factory=dict)

    @classmethod
    def from_env(cls, env: Env) -> Self:
        common = CommonSettings.from_env(env, "agent")
        models = ModelSettings.from_env(env)
        return cls(
            common=common,
            database_url=common.database_url(env),
            rag_urls=_urls(env, get_service("rag")),
            models=models,
            limits=Limits(
                model_calls=env.number("AGENT_MODEL_CALLS", 8, least=2),
                tool_calls=env.number("AGENT_TOOL_CALLS", 12, least=1),
                tokens=env.number("AGENT_RUN_TOKENS", 60_000, least=1_000),
                run_time=env.seconds("AGENT_RUN_SECONDS", 120),
                tool_time=env.seconds("AGENT_TOOL_SECONDS", 20),
                approval_time=env.seconds("AGENT_APPROVAL_SECONDS", 86_400),
            ),
            allowance=Allowance(
                user=env.number("AGENT_DAILY_TOKENS_USER", 0),
                tenant=env.number("AGENT_DAILY_TOKENS_TENANT", 0),
            ),
            fetch_allow=tuple(map(_allowed, env.several("AGENT_FETCH_ALLOW"))),
            tool_services={
                each.name: _urls(env, each) for each in CATALOG if each.declares_agent_tools
            },
            mcp_origins=frozenset(env.several("MCP_ORIGINS")),
            mcp_servers=_mcp_servers(env, common.data_dir),
            history_tokens=_history_tokens(env, models),
            traced_content=env.flag("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"),
            prices=_prices(env.several("LLM_PRICES")),
        )


def _urls(env: Env, entry: Service) -> tuple[str, ...]:
    return env.several(entry.url_variable, (f"http://127.0.0.1:{entry.port}",))


def _allowed(text: str) -> AllowedHost:
    try:
        return AllowedHost.parsed(text)
    except ValueError as error:
        raise SettingsError(
            f"AGENT_FETCH_ALLOW: {error} Write for example docs.example.org,*.example.com:8443."
        ) from error


def _mcp_servers(env: Env, data_dir: Path) -> Mapping[str, McpServer]:
    """The servers in the file that MCP_SERVERS names, or in the data folder's mcp.json."""
    file = env.path("MCP_SERVERS", str(data_dir / "mcp.json"))
    allow_stdio = env.flag("MCP_ALLOW_STDIO")
    if env.optional("MCP_SERVERS") is None and not file.exists():
        return {}
    try:
        servers = read_servers(file, env.optional, allow_stdio=allow_stdio)
    except ValueError as error:
        raise SettingsError(f"MCP_SERVERS: {error}") from error
    if servers and find_spec("langchain_mcp_adapters") is None:
        raise SettingsError(
            f"{file} names MCP servers, but the extra `mcp` is not installed: "
            "./start_microservices.sh install --extra mcp"
        )
    return servers


def _history_tokens(env: Env, models: ModelSettings) -> int:
    """The prompt, the tools, what they find and the answer want their half of the window."""
    wanted = env.number("AGENT_HISTORY_TOKENS", HISTORY_TOKENS, least=200)
    window = models.context_tokens
    return wanted if window is None else min(wanted, window // 2)


def _prices(given: Sequence[str]) -> Prices:
    """`MODEL=READ/WRITTEN`: what a million tokens cost."""
    prices = {}
    for each in given:
        model, _, price = each.rpartition("=")
        read, _, written = price.partition("/")
        try:
            prices[model] = (float(read), float(written))
        except ValueError:
            model = ""
        if not model:
            raise SettingsError(
                f"LLM_PRICES: {each!r} is no price. Write MODEL=READ/WRITTEN, in your currency "
                "for a million tokens, such as gpt-5-mini=0.25/2."
            )
    return prices
