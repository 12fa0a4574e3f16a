"""All that the agent reads from the environment."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Self

from backend.chassis.catalog import service
from backend.chassis.settings import CommonSettings, Env, SettingsError
from backend.services.agent.clients.models import OPENAI_URL, Address
from backend.services.agent.clients.runs import Limits

_OLLAMA_URL: Final = "http://127.0.0.1:11434"
_PROVIDERS: Final = ("embedded", "openai", "ollama", "openai-compatible")
# Servers of one's own want no key, but the client insists on sending one.
_NO_KEY: Final = "none"


@dataclass(frozen=True, slots=True)
class Settings:
    """What one agent process is set up with; without an address it thinks for itself."""

    common: CommonSettings
    database_url: str
    rag_url: str
    model: Address | None
    model_timeout: timedelta
    limits: Limits

    @classmethod
    def from_env(cls, env: Env) -> Self:
        common = CommonSettings.from_env(env, "agent")
        rag = service("rag")
        urls = env.several(rag.url_variable, (f"http://127.0.0.1:{rag.port}",))
        return cls(
            common=common,
            database_url=common.database_url(env),
            rag_url=urls[0],
            model=_address(env),
            model_timeout=env.seconds("LLM_TIMEOUT_SECONDS", 60),
            limits=Limits(
                model_calls=env.number("AGENT_MODEL_CALLS", 8, least=2),
                tool_calls=env.number("AGENT_TOOL_CALLS", 12, least=1),
                tokens=env.number("AGENT_RUN_TOKENS", 60_000, least=1_000),
                run_time=env.seconds("AGENT_RUN_SECONDS", 120),
                tool_time=env.seconds("AGENT_TOOL_SECONDS", 20),
            ),
        )


def _address(env: Env) -> Address | None:
    """The model's address from `LLM`, or from the variables that say the same in parts."""
    key = env.optional("LLM_API_KEY")
    if (together := env.optional("LLM")) is not None:
        return _parsed(together, key)
    base_url, model = env.optional("LLM_BASE_URL"), env.optional("LLM_MODEL")
    default = "openai-compatible" if base_url else "openai" if model else "embedded"
    provider = env.choice("LLM_PROVIDER", _PROVIDERS, default)
    if provider == "embedded":
        return None
    if model is None:
        raise SettingsError("LLM_MODEL is not set. Name the model that the server shall use.")
    if provider == "ollama":
        return _ollama(model, base_url or _OLLAMA_URL)
    if provider == "openai-compatible" and base_url is None:
        raise SettingsError("LLM_BASE_URL is not set. It is the server's URL, ending in /v1.")
    return _openai(model, base_url or OPENAI_URL, key)


def _parsed(text: str, key: str | None) -> Address | None:
    """`embedded`, `openai:MODEL`, `ollama:MODEL@URL` or `URL#MODEL`."""
    if text == "embedded":
        return None
    kind, _, rest = text.partition(":")
    if kind == "openai" and rest:
        return _openai(rest, OPENAI_URL, key)
    if kind == "ollama" and rest:
        model, _, url = rest.partition("@")
        return _ollama(model, url or _OLLAMA_URL)
    url, _, model = text.partition("#")
    if url.startswith(("http://", "https://")) and model:
        return _openai(model, url, key)
    raise SettingsError(
        f"LLM must be embedded, openai:MODEL, ollama:MODEL@URL or URL#MODEL; it is {text!r}."
    )


def _openai(model: str, url: str, key: str | None) -> Address:
    if url == OPENAI_URL and key is None:
        raise SettingsError("LLM_API_KEY is not set. OpenAI answers nobody without one.")
    return Address(url.rstrip("/"), model, key or _NO_KEY)


def _ollama(model: str, url: str) -> Address:
    url = url.rstrip("/")
    return Address(url if url.endswith("/v1") else f"{url}/v1", model, _NO_KEY)
