"""The chat models that the environment sets up: in one variable, or one model in parts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, Self

from backend.ai.chat_models.addresses import EMBEDDED, Address
from backend.ai.local_model.serving import CONTEXT_TOKENS
from backend.chassis.settings import Env, SettingsError

_PROVIDERS: Final = ("embedded", "openai", "anthropic", "ollama", "openai-compatible")
_KEYED: Final = frozenset({"openai", "anthropic", "openai-compatible"})
_OLLAMA_CONTEXT: Final = 8_192
_OWN_KEYS: Final = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """The models to choose from, the default first.

    `fallback` are the ids of those that answer, in order, when the default cannot.
    `context_tokens` is the context window to reckon with; None goes by what is known of a model.
    """

    addresses: Sequence[Address] = (EMBEDDED,)
    fallback: Sequence[str] = ()
    timeout: timedelta = timedelta(seconds=60)
    context_tokens: int | None = None

    @classmethod
    def from_env(cls, env: Env) -> Self:
        configured = [_parsed("LLM", each) for each in env.several("LLM")] or [_in_parts(env)]
        if (url := env.optional("LOCAL_MODEL_URL")) is not None and EMBEDDED in configured:
            # Both are the embedded model; the one that somebody took the trouble to fetch leads.
            local = Address.local(url, env.secret("SECRET_KEY").reveal())
            configured.insert(configured.index(EMBEDDED), local)
        fallback = [_fallback(each, configured) for each in env.several("LLM_FALLBACK")]
        known = _told_apart([*configured, *fallback])
        return cls(
            addresses=_with_keys(list(known.values()), env),
            fallback=[known[each].id for each in fallback],
            timeout=env.seconds("LLM_TIMEOUT_SECONDS", 60),
            context_tokens=env.number("LLM_CONTEXT_TOKENS", 0) or None,
        )

    @property
    def default(self) -> Address:
        return self.addresses[0]

    def context_of(self, address: Address) -> int | None:
        """The context window of the model at *address* in tokens, where it is known unasked."""
        if address.provider == "local":
            return CONTEXT_TOKENS
        # Ollama's own default is 4,096, which a few passages of documents fill.
        return self.context_tokens or (_OLLAMA_CONTEXT if address.provider == "ollama" else None)


def _parsed(variable: str, text: str) -> Address:
    try:
        return Address.parsed(text)
    except SettingsError as error:
        raise SettingsError(f"{variable}: {error}") from None


def _in_parts(env: Env) -> Address:
    """The one model that `LLM_PROVIDER`, `LLM_MODEL` and `LLM_BASE_URL` describe."""
    base_url, model = env.optional("LLM_BASE_URL"), env.optional("LLM_MODEL")
    usual = "openai-compatible" if base_url else "openai" if model else "embedded"
    provider = env.choice("LLM_PROVIDER", _PROVIDERS, usual)
    if provider == "embedded":
        return EMBEDDED
    if model is None:
        raise SettingsError("LLM_MODEL is not set. Name the model that the server shall use.")
    if provider == "openai-compatible" and base_url is None:
        raise SettingsError("LLM_BASE_URL is not set. It is the server's URL, ending in /v1.")
    if base_url is not None and not base_url.startswith(("http://", "https://")):
        raise SettingsError("LLM_BASE_URL must begin with http:// or https://.")
    address = Address.at(provider.removesuffix("-compatible"), model, base_url)
    # Here the key is this model's for certain, also where its provider usually wants none.
    return replace(address, key=address.key or env.optional("LLM_API_KEY"))


def _fallback(text: str, configured: Iterable[Address]) -> Address:
    """A configured model by its name, or another one in full."""
    for address in (*configured, EMBEDDED):
        if text == address.model or (text == "embedded" and address.embedded):
            return address
    return _parsed("LLM_FALLBACK, which names models of LLM or further ones", text)


def _told_apart(addresses: Iterable[Address]) -> Mapping[Address, Address]:
    """Each address, and the same under an id that no other has."""
    known: dict[Address, Address] = {}
    for address in addresses:
        if address not in known:
            taken = {each.id for each in known.values()}
            known[address] = address.named_apart() if address.id in taken else address
    return known


def _with_keys(addresses: Sequence[Address], env: Env) -> list[Address]:
    """The addresses with their keys, each of which goes to the server that it is for."""
    shared = env.optional("LLM_API_KEY")
    # LLM_API_KEY is for the first server that takes one: the others would learn a stranger's.
    its_server = next((each.base_url for each in addresses if each.provider in _KEYED), None)
    keyed = []
    for address in addresses:
        key = address.key
        if key is None and address.provider in _KEYED and address.base_url == its_server:
            key = shared
        own = _OWN_KEYS.get(address.provider)
        if key is None and own is not None:
            key = env.optional(own)
            if key is None:
                raise SettingsError(
                    f"{address.model} needs a key: set {own},"
                    " or LLM_API_KEY if it is the only model that needs one."
                )
        keyed.append(replace(address, key=key))
    return keyed
