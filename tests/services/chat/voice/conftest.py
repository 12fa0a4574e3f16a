"""Fixtures: a chat service with stand-in servers for recognition and synthesis."""

from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from backend.ai.speech.settings import SpeechServer, SpeechSettings
from backend.chassis.data_encryption.settings import NO_ENCRYPTION
from backend.chassis.web.app_factory import get_component
from backend.security.outbound import AllowedHost
from backend.services.chat.app import create_app
from backend.services.chat.jobs.waking import WorkerWaker
from backend.services.chat.wiring import ChatComponents
from tests.services.agent.fakes import run_server
from tests.services.chat.voice.fakes import KEY, FakeServers


@pytest.fixture
def servers():
    with run_server(FakeServers()) as servers:
        yield servers


@pytest.fixture
def speech(servers):
    """The settings of speech; modules of tests replace them."""
    url = f"{servers.url}/v1"
    return SpeechSettings(
        recognition=SpeechServer(url, "whisper-1", KEY), output=SpeechServer(url, "tts-1", KEY)
    )


@pytest.fixture
def encryption():
    """Encryption at rest is off; modules of tests replace it."""
    return NO_ENCRYPTION


@pytest.fixture
def settings(settings, servers, speech, encryption):
    host = AllowedHost.parse(urlsplit(servers.url).netloc)
    return replace(settings, speech=speech, private_hosts=(host,), encryption=encryption)


@pytest.fixture
def app(settings, identities):
    app = identities.trust(create_app(settings))
    yield app
    get_component(app, WorkerWaker).stop()


@pytest.fixture
def worker(app):
    """Return a function that runs all jobs until none has work that is due."""
    components = get_component(app, ChatComponents)
    jobs = [job for job in components.create_jobs() if job.name != "webhook cleanup"]

    def run(*names):
        chosen = [job for job in jobs if not names or job.name in names]
        while True:
            results = [job.run_once() for job in chosen]
            if not any(results):
                return

    return run
