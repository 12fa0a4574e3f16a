"""Settings of the chat models: `LLM`, or `LLM_PROVIDER`, `LLM_MODEL` and `LLM_BASE_URL`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, Self

from backend.ai.chat_models.model_address import EMBEDDED, ModelAddress
from backend.ai.chat_models.providers import PROVIDERS
from backend.chassis.settings import Env, SettingsError

_PROVIDER_CHOICES: Final = (
    "embedded",
    *(row.name for row in PROVIDERS.values() if row.is_configurable),
)


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """The configured chat models. The first address is the default model.

    `fallback_ids` are the ids of the models that are tried in this order if the default fails.
    `context_tokens` is the configured context window; None means the provider's default.
    """

    addresses: Sequence[ModelAddress] = (EMBEDDED,)
    fallback_ids: Sequence[str] = ()
    timeout: timedelta = timedelta(seconds=60)
    context_tokens: int | None = None

    @classmethod
    def from_env(cls, env: Env) -> Self:
        """Read the settings from *env*.

        Raises:
            SettingsError: a variable is missing or invalid; the message names it.
        """
        configured = [_parse_address("LLM", text) for text in env.text_list("LLM")]
        configured = configured or [_address_from_parts(env)]
        if (url := env.optional("LOCAL_MODEL_URL")) is not None and EMBEDDED in configured:
            # The downloaded model precedes the rule-based planner: both count as embedded, and
            # an operator who downloads a model wants it to be used.
            local = ModelAddress.for_local_model(url, env.secret("SECRET_KEY").reveal())
            configured.insert(configured.index(EMBEDDED), local)
        fallbacks = [_find_fallback(text, configured) for text in env.text_list("LLM_FALLBACK")]
        unique = _assign_unique_ids([*configured, *fallbacks])
        return cls(
            addresses=_with_api_keys(list(unique.values()), env),
            fallback_ids=[unique[address].id for address in fallbacks],
            timeout=env.seconds("LLM_TIMEOUT_SECONDS", 60),
            context_tokens=env.number("LLM_CONTEXT_TOKENS", 0) or None,
        )

    @property
    def max_retries(self) -> int:
        """Number of repetitions of a failed request: none if a fallback model answers sooner."""
        return 0 if self.fallback_ids else 1

    @property
    def default(self) -> ModelAddress:
        """The model that is used if a request names no model."""
        return self.addresses[0]

    def get_context_tokens(self, address: ModelAddress) -> int | None:
        """Return the context window of the model in tokens, or None if it is unknown."""
        provider = PROVIDERS.get(address.provider)
        if provider is None:
            return self.context_tokens
        return (
            provider.fixed_context_tokens or self.context_tokens or provider.default_context_tokens
        )


def _parse_address(variable: str, text: str) -> ModelAddress:
    try:
        return ModelAddress.parse(text)
    except SettingsError as error:
        raise SettingsError(f"{variable}: {error}") from None


def _address_from_parts(env: Env) -> ModelAddress:
    """Return the model that `LLM_PROVIDER`, `LLM_MODEL` and `LLM_BASE_URL` describe."""
    base_url, model = env.optional("LLM_BASE_URL"), env.optional("LLM_MODEL")
    default_provider = "openai-compatible" if base_url else "openai" if model else "embedded"
    provider = env.choice("LLM_PROVIDER", _PROVIDER_CHOICES, default_provider)
    if provider == "embedded":
        return EMBEDDED
    if model is None:
        raise SettingsError("LLM_MODEL is not set. Set it to a model of the server.")
    if PROVIDERS[provider].default_url is None and base_url is None:
        raise SettingsError("LLM_BASE_URL is not set. Set it to the server's URL, ending in /v1.")
    if base_url is not None and not base_url.startswith(("http://", "https://")):
        raise SettingsError("LLM_BASE_URL must begin with http:// or https://.")
    address = ModelAddress.for_server(provider.removesuffix("-compatible"), model, base_url)
    # LLM_API_KEY belongs to the single model, even if its provider usually needs no key.
    return replace(address, key=address.key or env.optional("LLM_API_KEY"))


def _find_fallback(text: str, configured: Iterable[ModelAddress]) -> ModelAddress:
    """Return the configured model named *text*, or parse *text* as the address of another one."""
    for address in (*configured, EMBEDDED):
        if text == address.model or (text == "embedded" and address.is_embedded):
            return address
    return _parse_address("LLM_FALLBACK, which lists models of LLM or further addresses", text)


def _assign_unique_ids(
    addresses: Iterable[ModelAddress],
) -> Mapping[ModelAddress, ModelAddress]:
    """Map each address to itself, or to a copy with the server in its id if the id is taken."""
    unique: dict[ModelAddress, ModelAddress] = {}
    for address in addresses:
        if address not in unique:
            taken_ids = {known.id for known in unique.values()}
            unique[address] = address.with_server_in_id() if address.id in taken_ids else address
    return unique


def _with_api_keys(addresses: Sequence[ModelAddress], env: Env) -> list[ModelAddress]:
    """Return the addresses with their API keys.

    LLM_API_KEY is only used for the first server that accepts it: other servers must not receive
    a key that was issued by someone else.
    """
    shared_key = env.optional("LLM_API_KEY")
    shared_key_url = next(
        (address.base_url for address in addresses if _accepts_shared_api_key(address)), None
    )
    with_keys = []
    for address in addresses:
        key = address.key
        if key is None and _accepts_shared_api_key(address) and address.base_url == shared_key_url:
            key = shared_key
        provider = PROVIDERS.get(address.provider)
        variable = None if provider is None else provider.api_key_variable
        if key is None and variable is not None:
            key = env.optional(variable)
            if key is None:
                raise SettingsError(
                    f"{address.model} needs an API key. Set {variable},"
                    " or LLM_API_KEY if no other model needs a key."
                )
        with_keys.append(replace(address, key=key))
    return with_keys


def _accepts_shared_api_key(address: ModelAddress) -> bool:
    provider = PROVIDERS.get(address.provider)
    return provider is not None and provider.accepts_shared_api_key
