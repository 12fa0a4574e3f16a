"""Settings of the chat models from environment variables."""

import pytest

from backend.ai.chat_models import EMBEDDED, ModelSettings
from backend.chassis.settings import Env, SettingsError


def read_settings(**variables):
    return ModelSettings.from_env(Env(variables))


def get_ids(settings):
    return [address.id for address in settings.addresses]


@pytest.mark.parametrize(
    ("variables", "provider", "url", "name"),
    [
        pytest.param(
            {"LLM_BASE_URL": "http://gpu:8000/v1/", "LLM_MODEL": "qwen"},
            "openai-compatible",
            "http://gpu:8000/v1",
            "qwen",
            id="compatible, several variables",
        ),
        pytest.param(
            {"LLM_MODEL": "gpt-5-mini", "LLM_API_KEY": "k"},
            "openai",
            "https://api.openai.com/v1",
            "gpt-5-mini",
            id="OpenAI, several variables",
        ),
        pytest.param(
            {"LLM_PROVIDER": "openai", "LLM_MODEL": "qwen", "LLM_BASE_URL": "http://gpu/v1"},
            "openai-compatible",
            "http://gpu/v1",
            "qwen",
            id="OpenAI at another URL is compatible",
        ),
        pytest.param(
            {"LLM_PROVIDER": "anthropic", "LLM_MODEL": "claude", "LLM_API_KEY": "k"},
            "anthropic",
            "https://api.anthropic.com",
            "claude",
            id="Anthropic, several variables",
        ),
        pytest.param(
            {"LLM_PROVIDER": "ollama", "LLM_MODEL": "qwen2.5:7b"},
            "ollama",
            "http://127.0.0.1:11434",
            "qwen2.5:7b",
            id="Ollama, several variables",
        ),
        pytest.param(
            {"LLM": "ollama:qwen2.5:7b@http://gpu:11434/v1"},
            "ollama",
            "http://gpu:11434",
            "qwen2.5:7b",
            id="Ollama, one variable",
        ),
        pytest.param(
            {"LLM": "http://gpu/v1#org/model"},
            "openai-compatible",
            "http://gpu/v1",
            "org/model",
            id="URL, one variable",
        ),
        pytest.param(
            {"LLM": "anthropic:claude", "ANTHROPIC_API_KEY": "k"},
            "anthropic",
            "https://api.anthropic.com",
            "claude",
            id="Anthropic, one variable",
        ),
    ],
)
def test_model_is_configured_in_one_or_several_variables(variables, provider, url, name):
    address = read_settings(**variables).default

    assert (address.provider, address.base_url, address.model) == (provider, url, name)


@pytest.mark.parametrize("variables", [{}, {"LLM": "embedded"}, {"LLM_PROVIDER": "embedded"}])
def test_embedded_model_is_the_default(variables):
    assert read_settings(**variables).addresses == [EMBEDDED]


def test_first_of_several_models_is_the_default():
    settings = read_settings(LLM="ollama:qwen, http://gpu/v1#llama, embedded")

    assert get_ids(settings) == ["qwen", "llama", "embedded-lite"]
    assert settings.default.id == "qwen"


def test_model_ids_contain_the_server_if_the_name_is_taken():
    settings = read_settings(LLM="ollama:qwen,http://gpu:8000/v1#qwen")

    assert get_ids(settings) == ["qwen", "qwen@gpu:8000"]


@pytest.mark.parametrize(
    ("fallback", "ids"),
    [
        pytest.param("", [], id="none"),
        pytest.param("llama", ["llama"], id="configured model by name"),
        pytest.param("embedded", ["embedded-lite"], id="embedded model"),
        pytest.param("embedded-lite", ["embedded-lite"], id="embedded model by id"),
        pytest.param("http://b/v1#other, llama", ["other", "llama"], id="further address"),
        pytest.param("http://b/v1#qwen", ["qwen@b"], id="same name on another server"),
    ],
)
def test_fallback_models_are_configured_by_name_or_address(fallback, ids):
    settings = read_settings(LLM="http://a/v1#qwen,http://a/v1#llama", LLM_FALLBACK=fallback)

    assert settings.fallback_ids == ids
    assert set(ids) <= set(get_ids(settings))


def test_api_key_is_used_only_for_its_server():
    settings = read_settings(
        LLM="ollama:qwen,http://a/v1#one,http://a/v1#two,http://b/v1#three,openai:gpt",
        LLM_API_KEY="for a",
        OPENAI_API_KEY="for OpenAI",
    )

    assert {address.id: address.key for address in settings.addresses} == {
        "qwen": None,
        "one": "for a",
        "two": "for a",
        "three": None,
        "gpt": "for OpenAI",
    }


def test_api_key_in_the_url_is_used_and_not_displayed():
    settings = read_settings(LLM="https://hunter2@a/v1#one,https://user:hunter%33@b/v1#two")

    assert [address.key for address in settings.addresses] == ["hunter2", "hunter3"]
    assert [address.base_url for address in settings.addresses] == ["https://a/v1", "https://b/v1"]
    assert "hunter" not in repr(settings)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        pytest.param({"LLM_BASE_URL": "http://gpu/v1"}, "LLM_MODEL", id="no model"),
        pytest.param({"LLM_MODEL": "gpt-5"}, "OPENAI_API_KEY", id="no key"),
        pytest.param(
            {"LLM": "http://a/v1#m,anthropic:claude", "LLM_API_KEY": "for a"},
            "ANTHROPIC_API_KEY",
            id="API key of another server",
        ),
        pytest.param(
            {"LLM_PROVIDER": "openai-compatible", "LLM_MODEL": "m"}, "LLM_BASE_URL", id="no URL"
        ),
        pytest.param(
            {"LLM_BASE_URL": "gpu:8000", "LLM_MODEL": "m"},
            "LLM_BASE_URL",
            id="URL without a scheme",
        ),
        pytest.param({"LLM_PROVIDER": "skynet"}, "LLM_PROVIDER", id="unknown provider"),
        pytest.param({"LLM": "skynet:1"}, "LLM: 'skynet:1' is not a model", id="unknown format"),
        pytest.param(
            {"LLM": "http://[/v1#m"}, "LLM: .* is not a valid model server URL", id="no host"
        ),
        pytest.param({"LLM_FALLBACK": "skynet"}, "LLM_FALLBACK", id="unknown fallback"),
    ],
)
def test_invalid_settings_are_rejected_with_their_variable(variables, message):
    with pytest.raises(SettingsError, match=message):
        read_settings(**variables)


@pytest.mark.parametrize("text", ["https://hunter2@[/v1#m", "ftp://hunter2@host#m"])
def test_error_about_a_url_does_not_contain_its_api_key(text):
    with pytest.raises(SettingsError) as failure:
        read_settings(LLM=text)

    assert "hunter2" not in str(failure.value)


def test_downloaded_model_precedes_the_embedded_one():
    variables = {"LOCAL_MODEL_URL": "http://127.0.0.1:5030", "SECRET_KEY": "of the tests"}

    only_embedded = read_settings(**variables)
    embedded_last = read_settings(
        LLM="ollama:qwen,embedded", LLM_FALLBACK="embedded-lite", **variables
    )

    assert get_ids(only_embedded) == ["embedded-local", "embedded-lite"]
    assert get_ids(embedded_last) == ["qwen", "embedded-local", "embedded-lite"]
    assert embedded_last.fallback_ids == ["embedded-lite"]


@pytest.mark.parametrize(
    ("variables", "context_tokens"),
    [
        ({"LLM": "ollama:qwen"}, 8_192),
        ({"LLM": "ollama:qwen", "LLM_CONTEXT_TOKENS": "32000"}, 32_000),
        ({"LLM": "http://gpu/v1#qwen"}, None),
        ({"LLM": "http://gpu/v1#qwen", "LLM_CONTEXT_TOKENS": "32000"}, 32_000),
        (
            {
                "LOCAL_MODEL_URL": "http://127.0.0.1:5030",
                "SECRET_KEY": "of the tests",
                "LLM_CONTEXT_TOKENS": "32000",
            },
            8_192,
        ),
    ],
    ids=["Ollama", "Ollama, configured", "unknown", "configured", "downloaded model"],
)
def test_context_window_is_the_configured_one_or_the_provider_default(variables, context_tokens):
    settings = read_settings(**variables)

    assert settings.get_context_tokens(settings.default) == context_tokens
