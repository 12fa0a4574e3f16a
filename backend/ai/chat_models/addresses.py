"""Where a chat model is asked, and how an operator writes that down."""

from dataclasses import dataclass, field, replace
from typing import Final, Self
from urllib.parse import unquote, urlsplit, urlunsplit

from backend.ai.local_model.serving import NAME, key
from backend.chassis.settings import SettingsError

OPENAI_URL: Final = "https://api.openai.com/v1"
ANTHROPIC_URL: Final = "https://api.anthropic.com"
OLLAMA_URL: Final = "http://127.0.0.1:11434"

FORMS: Final = (
    "embedded, openai:MODEL, anthropic:MODEL, ollama:MODEL, ollama:MODEL@URL or URL#MODEL"
)
_DEFAULT_URLS: Final = {
    "openai": OPENAI_URL,
    "anthropic": ANTHROPIC_URL,
    "ollama": OLLAMA_URL,
}


@dataclass(frozen=True, slots=True)
class Address:
    """One model: its provider, the name its server knows it by, and the server.

    `id` is what callers ask for; it is the model's name unless two servers have one of that name.
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
    def at(cls, provider: str, model: str, url: str | None = None) -> Self:
        """*model* at *url*, or where its provider is at home; a key may stand in the URL."""
        base_url, key = _server(url or _DEFAULT_URLS[provider])
        if provider == "openai" and base_url != OPENAI_URL:
            provider = "openai-compatible"
        if provider == "ollama":
            base_url = base_url.removesuffix("/v1")
        return cls(provider, model, base_url, key)

    @classmethod
    def parsed(cls, text: str) -> Self:
        """The address that *text* writes in one of FORMS; SettingsError for any other."""
        if text == "embedded":
            return cls(EMBEDDED.provider, EMBEDDED.model)
        kind, _, rest = text.partition(":")
        if kind in _DEFAULT_URLS and rest:
            model, _, url = rest.partition("@")
            if model and (not url or url.startswith(("http://", "https://"))):
                return cls.at(kind, model, url)
        url, _, model = text.partition("#")
        if url.startswith(("http://", "https://")) and model:
            return cls.at("openai", model, url)
        raise SettingsError(f"{_harmless(text)!r} is not a model. It is written {FORMS}.")

    @property
    def embedded(self) -> bool:
        """Whether the agent answers by itself, without any model's server."""
        return self.provider == "embedded"

    @property
    def server(self) -> str:
        """The host, and the port where it is not the usual one."""
        return urlsplit(self.base_url).netloc

    def named_apart(self) -> Self:
        """The same under an id that tells it from a namesake on another server."""
        return replace(self, id=f"{self.model}@{self.server}")

    @classmethod
    def local(cls, url: str, secret: str) -> Self:
        """The model that is served beside the services."""
        return cls("local", NAME, f"{url.rstrip('/')}/v1", key(secret))


EMBEDDED: Final = Address("embedded", "embedded-lite")


def _server(url: str) -> tuple[str, str | None]:
    """The URL without the key that may stand before its host, and the key."""
    try:
        parts = urlsplit(url)
        whole = bool(parts.hostname) and parts.port != 0
    except ValueError:
        whole = False
    if not whole:
        raise SettingsError(f"{_harmless(url)!r} is not a model server's URL.")
    key = parts.password or parts.username
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    return urlunsplit(bare).rstrip("/"), unquote(key) if key else None


def _harmless(text: str) -> str:
    """*text* without what stands between `//` and `@`, which may be a key."""
    head, slashes, rest = text.partition("//")
    return f"{head}{slashes}{rest.rpartition('@')[2]}"
