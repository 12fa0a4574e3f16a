"""Addresses of chat models: provider, model name and server, and their text format."""

import re
from dataclasses import dataclass, field, replace
from typing import Final, Self
from urllib.parse import unquote, urlsplit, urlunsplit

from backend.ai.chat_models.providers import PROVIDERS
from backend.ai.local_model.server import MODEL_NAME, derive_api_key
from backend.chassis.settings import SettingsError

# Providers that can be written as PROVIDER:MODEL, because they have a default URL.
_PREFIXES: Final = tuple(row.name for row in PROVIDERS.values() if row.default_url is not None)
ADDRESS_FORMATS: Final = ", ".join(
    ["embedded", *(f"{name}:MODEL" for name in _PREFIXES), "PROVIDER:MODEL@URL or URL#MODEL"]
)

# The size in a model's name, as in `qwen3:1.7b`, `llama-3.2-3b-instruct` or `smollm2:360m`.
_SIZE: Final = re.compile(
    r"(?<![\w.])(?P<number>\d+(?:\.\d+)?)(?P<unit>[bm])(?![a-z0-9])", re.IGNORECASE
)
_MAX_SMALL_BILLIONS: Final = 4.0


@dataclass(frozen=True, slots=True)
class ModelAddress:
    """A chat model: its provider, its name on the server, and the server's URL.

    `id` is the model name of the public API. It equals `model` unless two servers offer a model
    of the same name.
    """

    provider: str
    model: str
    base_url: str = ""
    key: str | None = field(default=None, repr=False)
    id: str = ""

    def __post_init__(self) -> None:
        if not self.id:
            object.__setattr__(self, "id", self.model)

    @classmethod
    def for_server(cls, provider: str, model: str, url: str | None = None) -> Self:
        """Return the address of *model* at *url*, or at the provider's default URL.

        The URL may contain an API key as its user name or password.

        Raises:
            SettingsError: *url* is not a valid URL, or it is missing and there is no default.
        """
        base_url, key = _split_api_key(url or PROVIDERS[provider].default_url or "")
        if provider == "openai" and base_url != PROVIDERS["openai"].default_url:
            provider = "openai-compatible"
        if provider == "ollama":
            base_url = base_url.removesuffix("/v1")
        return cls(provider, model, base_url, key)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse *text*, which must have one of ADDRESS_FORMATS.

        Raises:
            SettingsError: *text* has another format.
        """
        if text == "embedded":
            return cls(EMBEDDED.provider, EMBEDDED.model)
        prefix, _, rest = text.partition(":")
        if prefix in _PREFIXES and rest:
            model, _, url = rest.partition("@")
            if model and (not url or url.startswith(("http://", "https://"))):
                return cls.for_server(prefix, model, url)
        url, _, model = text.partition("#")
        if url.startswith(("http://", "https://")) and model:
            return cls.for_server("openai", model, url)
        raise SettingsError(
            f"{_without_credentials(text)!r} is not a model. Use one of: {ADDRESS_FORMATS}."
        )

    @property
    def is_embedded(self) -> bool:
        """True for the agent's rule-based planner, which needs no model server."""
        return self.provider == "embedded"

    @property
    def is_small(self) -> bool:
        """True if the name of a self-hosted model states at most four billion parameters.

        Such models rarely call tools correctly, and mostly run on a CPU.
        """
        size = _SIZE.search(self.model)
        if size is None or self.provider not in {"ollama", "openai-compatible"}:
            return False
        billions = float(size["number"]) / (1_000 if size["unit"].lower() == "m" else 1)
        return billions <= _MAX_SMALL_BILLIONS

    @property
    def host_and_port(self) -> str:
        """The server's host, with the port if the URL contains one."""
        return urlsplit(self.base_url).netloc

    def with_server_in_id(self) -> Self:
        """Return a copy whose id also contains the server, as in `llama3@gpu1:11434`."""
        return replace(self, id=f"{self.model}@{self.host_and_port}")

    @classmethod
    def for_local_model(cls, url: str, secret: str) -> Self:
        """Return the address of the downloaded model that `backend.ai.local_model` serves."""
        return cls("local", MODEL_NAME, f"{url.rstrip('/')}/v1", derive_api_key(secret))


EMBEDDED: Final = ModelAddress("embedded", "embedded-lite")


def _split_api_key(url: str) -> tuple[str, str | None]:
    """Return *url* without user information, and the API key that it contained."""
    try:
        parts = urlsplit(url)
        is_valid = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid:
        raise SettingsError(f"{_without_credentials(url)!r} is not a valid model server URL.")
    key = parts.password or parts.username
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    return urlunsplit(bare).rstrip("/"), unquote(key) if key else None


def _without_credentials(text: str) -> str:
    """Return *text* without the part between `//` and `@`, which may be an API key."""
    head, slashes, rest = text.partition("//")
    return f"{head}{slashes}{rest.rpartition('@')[2]}"
