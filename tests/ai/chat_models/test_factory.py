"""Chat models are opened by the row of their provider."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

from backend.ai.chat_models import PROVIDERS, ModelAddress, ModelSettings, open_chat_model
from backend.ai.chat_models.errors import ModelProviderNotInstalled

ADDRESS = ModelAddress("ollama", "qwen", "http://127.0.0.1:1")


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)
def test_provider_has_a_module(provider):
    assert find_spec(f"backend.ai.chat_models.{provider.module}") is not None


@pytest.mark.parametrize("name", ["openai", "openai-compatible", "local"])
def test_model_of_an_installed_provider_is_opened(name):
    model = open_chat_model(ModelAddress(name, "m", "http://127.0.0.1:1/v1"), ModelSettings())

    assert model.model_name == "m"


def test_missing_extra_is_named(monkeypatch):
    def import_module(name):
        raise ModuleNotFoundError(name=PROVIDERS["ollama"].package)

    monkeypatch.setattr("backend.ai.chat_models.factory.import_module", import_module)

    with pytest.raises(ModelProviderNotInstalled, match="install --extra ollama"):
        open_chat_model(ADDRESS, ModelSettings())


def test_other_missing_module_is_not_hidden(monkeypatch):
    def import_module(name):
        raise ModuleNotFoundError(name="numpy")

    monkeypatch.setattr("backend.ai.chat_models.factory.import_module", import_module)

    with pytest.raises(ModuleNotFoundError) as failure:
        open_chat_model(ADDRESS, ModelSettings())

    assert failure.value.name == "numpy"


def test_importing_the_package_does_not_import_langchain():
    # A service has to be ready before the seconds that this import takes.
    code = 'import sys, backend.ai.chat_models; sys.exit(int("langchain_core" in sys.modules))'

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
