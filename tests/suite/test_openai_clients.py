"""Quickstarts of other OpenAI clients: LiteLLM, `llm`, and OpenAI's client for Node.

The clients are installed from the package registries into pytest's cache folder, once.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent / "openai_clients"
PYTHON_CLIENTS = ("litellm==1.110.2", "llm==0.36")
NODE_CLIENTS = ("openai@6.49.0",)
INSTALL_SECONDS = 600
ANSWER = "17 * 23 = 391"
pytestmark = [
    pytest.mark.suite,
    pytest.mark.slow,
    pytest.mark.timeout(INSTALL_SECONDS + 240),  # the first test of each kind installs its client
]


def install(command, marker):
    """Run *command* and create the file *marker*, or skip the test if the registry is absent."""
    if marker.exists():
        return
    result = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    if result.returncode:
        pytest.skip(f"{command[0]} cannot install the clients: {result.stderr.strip()[-200:]}")
    marker.touch()


@pytest.fixture(scope="module")
def python_clients(request):
    """Folder of the programs of a virtual environment with the Python clients."""
    folder = request.config.cache.mkdir("openai-clients-python")
    if not (folder / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    programs = folder / "bin"
    command = [programs / "python", "-m", "pip", "install", "--quiet", *PYTHON_CLIENTS]
    install(command, folder / f"installed-{'-'.join(PYTHON_CLIENTS)}")
    return programs


@pytest.fixture(scope="module")
def node_folder(request):
    """Folder with the Node clients and the scripts that import them."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node is not installed.")
    folder = request.config.cache.mkdir("openai-clients-node")
    command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", folder, *NODE_CLIENTS]
    install(command, folder / f"installed-{'-'.join(NODE_CLIENTS)}")
    for script in SCRIPTS.glob("*.mjs"):
        shutil.copy(script, folder)
    return folder


@pytest.fixture
def token(ada):
    return str(ada.session.headers["Authorization"]).split()[1]


def run(*command, **variables):
    """Return the lines that *command* prints."""
    result = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {name: str(value) for name, value in variables.items()},
    )
    assert result.returncode == 0, result.stderr
    return [line for line in result.stdout.splitlines() if line.strip()]


def test_quickstart_of_litellm(suite, token, python_clients):
    lines = run(
        python_clients / "python",
        SCRIPTS / "litellm_quickstart.py",
        BASE_URL=f"{suite.url}/v1",
        API_KEY=token,
        # Without it, LiteLLM fetches a list of prices.
        LITELLM_LOCAL_MODEL_COST_MAP="True",
    )

    answers = [line for line in lines if not line.startswith(("\x1b", "LiteLLM.Info"))]
    assert answers == [
        ANSWER,
        ANSWER,
        "AuthenticationError",
        "NotFoundError",
        "BadRequestError",
    ]


def test_quickstart_of_llm(suite, token, python_clients, tmp_path):
    model = {
        "model_id": "suite",
        "model_name": "embedded-lite",
        "api_base": f"{suite.url}/v1",
        "api_key_name": "suite",
    }
    (tmp_path / "extra-openai-models.yaml").write_text(json.dumps([model]))

    def llm(*arguments):
        return run(python_clients / "llm", *arguments, LLM_USER_PATH=tmp_path)

    llm("keys", "set", "suite", "--value", token)

    assert llm("-m", "suite", "What is 17 * 23?") == [ANSWER]
    assert llm("-m", "suite", "--no-stream", "What is 17 * 23?") == [ANSWER]


def test_quickstart_of_openai_for_node(suite, token, node_folder):
    lines = run(
        "node",
        node_folder / "openai_quickstart.mjs",
        OPENAI_BASE_URL=f"{suite.url}/v1",
        OPENAI_API_KEY=token,
    )

    assert lines == [
        ANSWER,
        ANSWER,
        f"{ANSWER} true",
        "embedded-lite",
        "NotFoundError model_not_found null",
        "UnprocessableEntityError validation_failed messages.0.content",
        "AuthenticationError invalid_token null",
    ]
