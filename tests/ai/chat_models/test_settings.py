"""What the environment says about the chat models."""

import pytest

from backend.ai.chat_models import EMBEDDED, ModelSettings
from backend.chassis.settings import Env, SettingsError


def models(**variables):
    return ModelSettings.from_env(Env(variables))


@pytest.mark.parametrize(
    ("variables", "provider", "url", "name"),
    [
        pytest.param(
            {"LLM_BASE_URL": "http://gpu:8000/v1/", "LLM_MODEL": "qwen"},
            "openai-compatible",
            "http://gpu:8000/v1",
            "qwen",
            id="compatible, in parts",
        ),
        pytest.param(
            {"LLM_MODEL": "gpt-5-mini", "LLM_API_KEY": "k"},
            "openai",
            "https://api.openai.com/v1",
            "gpt-5-mini",
            id="OpenAI, in parts",
        ),
        pytest.param(
            {"LLM_PROVIDER": "openai", "LLM_MODEL": "qwen", "LLM_BASE_URL": "http://gpu/v1"},
            "openai-compatible",
            "http://gpu/v1",
            "qwen",
            id="OpenAI elsewhere is compatible",
        ),
        pytest.param(
            {"LLM_PROVIDER": "anthropic", "LLM_MODEL": "claude", "LLM_API_KEY": "k"},
            "anthropic",
            "https://api.anthropic.com",
            "claude",
            id="Anthropic, in parts",
        ),
        pytest.param(
            {"LLM_PROVIDER": "ollama", "LLM_MODEL": "qwen2.5:7b"},
            "ollama",
            "http://127.0.0.1:11434",
            "qwen2.5:7b",
            id="Ollama, in parts",
        ),
        pytest.param(
            {"LLM": "ollama:qwen2.5:7b@http://gpu:11434/v1"},
            "ollama",
            "http://gpu:11434",
            "qwen2.5:7b",
            id="Ollama, together",
        ),
        pytest.param(
            {"LLM": "http://gpu/v1#org/model"},
            "openai-compatible",
            "http://gpu/v1",
            "org/model",
            id="URL, together",
        ),
        pytest.param(
            {"LLM": "anthropic:claude", "ANTHROPIC_API_KEY": "k"},
            "anthropic",
            "https://api.anthropic.com",
            "claude",
            id="Anthropic, together",
        ),
    ],
)
def test_a_model_can_be_named_in_parts_or_together(variables, provider, url, name):
    found = models(**variables).default

    assert (found.provider, found.base_url, found.model) == (provider, url, name)


@pytest.mark.parametrize("variables", [{}, {"LLM": "embedded"}, {"LLM_PROVIDER": "embedded"}])
def test_without_a_model_the_agent_thinks_for_itself(variables):
    assert models(**variables).addresses == [EMBEDDED]


def test_several_models_are_a_list_whose_first_is_the_default():
    several = models(LLM="ollama:qwen, http://gpu/v1#llama, embedded")

    assert [each.id for each in several.addresses] == ["qwen", "llama", "embedded-lite"]
    assert several.default.id == "qwen"


def test_models_of_one_name_are_told_apart_by_their_server():
    several = models(LLM="ollama:qwen,http://gpu:8000/v1#qwen")

    assert [each.id for each in several.addresses] == ["qwen", "qwen@gpu:8000"]


@pytest.mark.parametrize(
    ("fallback", "ids"),
    [
        pytest.param("", [], id="none"),
        pytest.param("llama", ["llama"], id="a configured one by its name"),
        pytest.param("embedded", ["embedded-lite"], id="the embedded one"),
        pytest.param("embedded-lite", ["embedded-lite"], id="the embedded one by its id"),
        pytest.param("http://b/v1#other, llama", ["other", "llama"], id="another one, in full"),
        pytest.param("http://b/v1#qwen", ["qwen@b"], id="a namesake"),
    ],
)
def test_the_operator_says_who_answers_when_the_default_cannot(fallback, ids):
    found = models(LLM="http://a/v1#qwen,http://a/v1#llama", LLM_FALLBACK=fallback)

    assert found.fallback == ids
    assert set(ids) <= {each.id for each in found.addresses}


def keys(**variables):
    return {each.id: each.key for each in models(**variables).addresses}


def test_each_key_is_sent_to_the_server_that_it_is_for():
    found = keys(
        LLM="ollama:qwen,http://a/v1#one,http://a/v1#two,http://b/v1#three,openai:gpt",
        LLM_API_KEY="for a",
        OPENAI_API_KEY="for OpenAI",
    )

    assert found == {
        "qwen": None,
        "one": "for a",
        "two": "for a",
        "three": None,
        "gpt": "for OpenAI",
    }


def test_a_key_may_stand_in_the_url_and_is_not_shown():
    several = models(LLM="https://hunter2@a/v1#one,https://user:hunter%33@b/v1#two")

    assert [each.key for each in several.addresses] == ["hunter2", "hunter3"]
    assert [each.base_url for each in several.addresses] == ["https://a/v1", "https://b/v1"]
    assert "hunter" not in repr(several)


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        pytest.param({"LLM_BASE_URL": "http://gpu/v1"}, "LLM_MODEL", id="no model"),
        pytest.param({"LLM_MODEL": "gpt-5"}, "OPENAI_API_KEY", id="no key"),
        pytest.param(
            {"LLM": "http://a/v1#m,anthropic:claude", "LLM_API_KEY": "for a"},
            "ANTHROPIC_API_KEY",
            id="a key for another server",
        ),
        pytest.param(
            {"LLM_PROVIDER": "openai-compatible", "LLM_MODEL": "m"}, "LLM_BASE_URL", id="no URL"
        ),
        pytest.param(
            {"LLM_BASE_URL": "gpu:8000", "LLM_MODEL": "m"}, "LLM_BASE_URL", id="half a URL"
        ),
        pytest.param({"LLM_PROVIDER": "skynet"}, "LLM_PROVIDER", id="unknown provider"),
        pytest.param({"LLM": "skynet:1"}, "LLM: 'skynet:1' is not a model", id="unknown form"),
        pytest.param({"LLM": "http://[/v1#m"}, "LLM: .* is not a model server's URL", id="no host"),
        pytest.param({"LLM_FALLBACK": "skynet"}, "LLM_FALLBACK", id="unknown fallback"),
    ],
)
def test_what_is_wrong_is_named(variables, named):
    with pytest.raises(SettingsError, match=named):
        models(**variables)


@pytest.mark.parametrize("text", ["https://hunter2@[/v1#m", "ftp://hunter2@host#m"])
def test_no_key_shows_in_what_is_said_about_a_wrong_url(text):
    with pytest.raises(SettingsError) as raised:
        models(LLM=text)

    assert "hunter2" not in str(raised.value)


def test_a_fetched_model_leads_where_the_embedded_one_is_wanted():
    variables = {"LOCAL_MODEL_URL": "http://127.0.0.1:5030", "SECRET_KEY": "of the tests"}

    alone = models(**variables)
    last = models(LLM="ollama:qwen,embedded", LLM_FALLBACK="embedded-lite", **variables)

    assert [each.id for each in alone.addresses] == ["embedded-local", "embedded-lite"]
    assert [each.id for each in last.addresses] == ["qwen", "embedded-local", "embedded-lite"]
    assert last.fallback == ["embedded-lite"]
