"""What the environment says about the model."""

import pytest

from backend.chassis.settings import Env, SettingsError
from backend.services.agent.settings import Settings


def model(tmp_path, **variables):
    return Settings.from_env(Env({"DATA_DIR": str(tmp_path), **variables})).model


@pytest.mark.parametrize(
    ("variables", "url", "name"),
    [
        pytest.param(
            {"LLM_BASE_URL": "http://gpu:8000/v1/", "LLM_MODEL": "qwen"},
            "http://gpu:8000/v1",
            "qwen",
            id="compatible, in parts",
        ),
        pytest.param(
            {"LLM_MODEL": "gpt-5-mini", "LLM_API_KEY": "k"},
            "https://api.openai.com/v1",
            "gpt-5-mini",
            id="OpenAI, in parts",
        ),
        pytest.param(
            {"LLM_PROVIDER": "ollama", "LLM_MODEL": "qwen2.5:7b"},
            "http://127.0.0.1:11434/v1",
            "qwen2.5:7b",
            id="Ollama, in parts",
        ),
        pytest.param(
            {"LLM": "ollama:qwen2.5:7b@http://gpu:11434"},
            "http://gpu:11434/v1",
            "qwen2.5:7b",
            id="Ollama, together",
        ),
        pytest.param(
            {"LLM": "http://gpu/v1#org/model"}, "http://gpu/v1", "org/model", id="URL, together"
        ),
        pytest.param(
            {"LLM": "openai:gpt-5", "LLM_API_KEY": "k"},
            "https://api.openai.com/v1",
            "gpt-5",
            id="OpenAI, together",
        ),
    ],
)
def test_a_model_can_be_named_in_parts_or_together(tmp_path, variables, url, name):
    address = model(tmp_path, **variables)

    assert (address.base_url, address.model) == (url, name)


@pytest.mark.parametrize("variables", [{}, {"LLM": "embedded"}, {"LLM_PROVIDER": "embedded"}])
def test_without_a_model_the_agent_thinks_for_itself(tmp_path, variables):
    assert model(tmp_path, **variables) is None


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        pytest.param({"LLM_BASE_URL": "http://gpu/v1"}, "LLM_MODEL", id="no model"),
        pytest.param({"LLM_MODEL": "gpt-5"}, "LLM_API_KEY", id="no key"),
        pytest.param(
            {"LLM_PROVIDER": "openai-compatible", "LLM_MODEL": "m"}, "LLM_BASE_URL", id="no URL"
        ),
        pytest.param({"LLM_PROVIDER": "skynet"}, "LLM_PROVIDER", id="unknown provider"),
        pytest.param({"LLM": "skynet:1"}, "LLM must be", id="unknown form"),
    ],
)
def test_what_is_missing_is_named(tmp_path, variables, named):
    with pytest.raises(SettingsError, match=named):
        model(tmp_path, **variables)


def test_no_key_shows_in_a_log(tmp_path):
    assert "hunter2" not in repr(model(tmp_path, LLM_MODEL="m", LLM_API_KEY="hunter2"))
