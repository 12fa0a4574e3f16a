"""A worker that is killed in the middle of a transcription."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from backend.chassis.settings import Secret
from tests.servers import free_port, wait_until
from tests.services.chat.voice.fakes import KEY
from tests.services.chat.voice.test_voice_messages import read_conversation

ROOT = Path(__file__).parents[4]
SECRET = "secret-of-the-webhook"
SECRET_KEY = "a secret key of the tests, which is long enough"


@pytest.fixture
def settings(settings):
    return replace(settings, common=replace(settings.common, secret_key=Secret(SECRET_KEY)))


@pytest.fixture
def account(client, manager, servers):
    body = {
        "channel": "telegram",
        "name": "Parcels",
        "settings": {"api_url": servers.url},
        "credentials": {"webhook_secret": SECRET, "bot_token": "1:abc"},
        "agent_key": "aas_sa.key",
    }
    response = client.post("/accounts", json=body, headers=manager)
    assert response.status_code == 201, response.json
    return response.json["id"]


@contextmanager
def run_worker(settings, agent, servers) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the worker of the service, without a Redis-compatible server."""
    port = str(free_port())
    environment = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    environment |= {
        "PYTHONPATH": str(ROOT),
        "APP_ENV": "development",
        "SECRET_KEY": SECRET_KEY,
        "DATA_DIR": str(settings.common.data_dir),
        "DATABASE_URL": settings.database_url,
        "AGENT_SERVICE_URL": agent.url,
        "AUTH_SERVICE_URL": agent.url,
        "CHAT_WORKER_PORT": port,
        "CHAT_PRIVATE_HOSTS": urlsplit(servers.url).netloc,
        "VOICE_STT": f"{servers.url}/v1#whisper-1",
        "VOICE_STT_API_KEY": KEY,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "backend.services.chat.worker"],
        cwd=settings.common.data_dir,
        env=environment,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_killed_transcription_runs_again_once_and_is_answered_once(
    client, account, colleague, agent, servers, settings
):
    servers.release.clear()
    message = {
        "message_id": 1,
        "date": 1_760_000_001,
        "chat": {"id": 7, "type": "private"},
        "from": {"id": 7, "is_bot": False, "first_name": "Ann"},
        "voice": {"file_id": "f1", "mime_type": "audio/ogg", "duration": 3},
    }
    response = client.post(
        f"/webhook/telegram/{account}",
        data=json.dumps({"update_id": 1, "message": message}),
        content_type="application/json",
        headers={"X-Telegram-Bot-Api-Secret-Token": SECRET},
    )
    assert response.status_code == 200
    with run_worker(settings, agent, servers) as worker:
        wait_until(lambda: len(servers.transcriptions) == 1, 60)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    servers.release.set()  # the test does not read this response
    assert read_conversation(client, colleague)["messages"][1:] == []

    with run_worker(settings, agent, servers):
        wait_until(lambda: servers.sent, 120)
        # No piece of work is left, such as a second answer.
        wait_until(lambda: _is_settled(client, colleague), 30)

    assert len(servers.transcriptions) == 2
    assert [query["user_request"] for query in agent.queries] == ["Where is my parcel?"]
    assert [method for method, _ in servers.sent] == ["sendMessage"]
    recording, answer = read_conversation(client, colleague)["messages"]
    assert recording["attachments"][0]["transcription"]["state"] == "done"
    assert answer["content"]["text"] == "You said: Where is my parcel?"


def _is_settled(client, colleague) -> bool:
    messages = read_conversation(client, colleague)["messages"]
    return len(messages) > 1 and messages[-1]["state"] == "sent"
