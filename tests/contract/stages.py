"""One service at a time in its own data folder, with users of known roles and their resources."""

import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from pathlib import Path

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from backend.ai.chat_models import ModelSettings
from backend.ai.embedding import BuiltInEmbedder, EmbeddingConfig
from backend.chassis.settings import CommonSettings, Env, Secret
from backend.chassis.web.app_factory import get_component
from backend.security import BUILT_IN_ROLES
from backend.security.settings import SecuritySettings
from backend.services.agent.app import create_app as create_agent
from backend.services.agent.model import RunLimits
from backend.services.agent.settings import Settings as AgentSettings
from backend.services.auth.app import create_app as create_auth
from backend.services.auth.settings import Settings as AuthSettings
from backend.services.chat.app import create_app as create_chat
from backend.services.chat.jobs.waking import WorkerWaker
from backend.services.chat.settings import Settings as ChatSettings
from backend.services.packages.app import BackgroundTasks
from backend.services.packages.app import create_app as create_packages
from backend.services.packages.settings import Settings as PackageSettings
from backend.services.rag.app import create_app as create_rag
from backend.services.rag.clients.rerankers import RerankSettings
from backend.services.rag.jobs.indexing import IndexingThreads
from backend.services.rag.jobs.ingestion import IngestionThread
from backend.services.rag.settings import Settings as RagSettings
from backend.services.rag.store.vectors.factory import VectorStoreSettings
from tests.databases import database_in
from tests.identities import Identities
from tests.password_hashes import fast_password_hashes
from tests.services.agent.fakes import FakeRagService, WordEmbedder, run_server
from tests.services.chat.fakes import FakeAgent

ROOT = Path(__file__).parents[2]
PASSWORD = "seven small boats"
MIB = 2**20
Headers = dict[str, str]
_numbers = count(1)
# A proof is valid for five minutes, an access token for ten.
_PROOF_SECONDS = 60
_TOKEN_SECONDS = 240


@dataclass
class Stage:
    """A service under test with its users.

    Attributes:
        create_resources: creates new resources, owned by the user of the given headers, and
            returns the values of the path parameters.
    """

    app: Flask
    sign_in: Callable[[str], Headers]
    create_resources: Callable[["Stage", Headers], dict[str, str]]
    credentials: dict[str, Headers] = field(default_factory=dict)
    signed_in_at: dict[str, float] = field(default_factory=dict)
    identities: Identities | None = None
    proved_at: float = field(default_factory=time.monotonic)

    @property
    def client(self) -> FlaskClient:
        # Without cookies: the client would decode each URL twice to find them.
        return self.app.test_client(use_cookies=False)

    def headers(self, role: str) -> Headers:
        """Return the credentials of a user with the role *role*; `anonymous` has none.

        They are valid for several minutes. Long tests must call this again: requests with an
        expired token are rejected, whatever is wrong with them.
        """
        if role == "anonymous":
            return {}
        age = time.monotonic() - self.signed_in_at.get(role, 0.0)
        if role not in self.credentials or age > _TOKEN_SECONDS:
            self.credentials[role] = self.sign_in(role)
            self.signed_in_at[role] = time.monotonic()
        self._renew_proofs()
        return self.credentials[role]

    def _renew_proofs(self) -> None:
        """Renew the proofs that sensitive requests need in the sessions of auth."""
        if self.identities is None and time.monotonic() - self.proved_at > _PROOF_SECONDS:
            self.proved_at = time.monotonic()
            for headers in self.credentials.values():
                self.client.post("/reauthenticate", json={"password": PASSWORD}, headers=headers)

    def post(self, path: str, headers: Headers, **body: object) -> TestResponse:
        response = self.client.post(path, headers=headers, **body)
        assert response.status_code < 300, response.text
        return response


@contextmanager
def rag(folder: Path, url: str | None = None) -> Iterator[Stage]:
    identities = Identities()
    settings = RagSettings(
        common=_common_settings("rag", folder),
        database_url=url or database_in(folder, "rag"),
        max_upload_bytes=2 * MIB,
        max_queued_documents=10_000,
        extraction_seconds=20,
        ocr_seconds=60,
        extraction_memory_bytes=1024 * MIB,
        max_text_characters=1_000_000,
        max_keyword_chunks=10_000,
        vectors=VectorStoreSettings("chroma", folder / "rag" / "vectors"),
        embedding=EmbeddingConfig(),
        reranking=RerankSettings(),
        models=ModelSettings(),
        broker_url=None,
        worker_threads=1,
        worker_port=5040,
    )
    app = create_rag(settings, BuiltInEmbedder(threads=1))
    app.testing = True
    try:
        sign_in = _sign_in_with(identities)
        yield Stage(identities.trust(app), sign_in, _create_rag_resources, identities=identities)
    finally:
        for kind in (IngestionThread, IndexingThreads):
            get_component(app, kind).stop()


def _create_rag_resources(stage: Stage, headers: Headers) -> dict[str, str]:
    name = f"collection {next(_numbers)}"
    stage.post("/collections", headers, json={"name": name})
    file = (io.BytesIO(f"Passage number {next(_numbers)}.".encode()), "passage.txt")
    response = stage.post("/documents?wait=30", headers, data={"file": file})
    document = response.json["documents"][0]["id"]
    return {"document_id": document, "name": name, "user_id": "user-bob"}


@contextmanager
def agent(folder: Path, url: str | None = None) -> Iterator[Stage]:
    identities = Identities()
    with run_server(FakeRagService()) as rag_service:
        settings = AgentSettings(
            common=_common_settings("agent", folder),
            database_url=url or database_in(folder, "agent"),
            rag_urls=(rag_service.url,),
            models=ModelSettings(timeout=timedelta(seconds=1)),
            limits=RunLimits(run_timeout=timedelta(seconds=20), tool_timeout=timedelta(seconds=1)),
        )
        app = create_agent(settings, embedder=WordEmbedder())
        app.testing = True
        sign_in = _sign_in_with(identities)
        yield Stage(identities.trust(app), sign_in, _create_agent_resources, identities=identities)


def _create_agent_resources(stage: Stage, headers: Headers) -> dict[str, str]:
    response = stage.post("/query", headers, json={"user_request": "How much is 6 times 7?"})
    return {"session_id": response.json["session_id"]}


@contextmanager
def auth(folder: Path, url: str | None = None) -> Iterator[Stage]:
    values = {
        "DATA_DIR": str(folder),
        "DATABASE_URL": url or database_in(folder, "auth"),
        "ADMIN_PASSWORD": PASSWORD,
        "LOGINS_AT_ONCE": "16",
        "LOGIN_ATTEMPTS": "100000 per minute",
    }
    settings = AuthSettings.from_env(Env(values))
    security = SecuritySettings.from_env({"DATA_DIR": str(folder)})
    with fast_password_hashes():
        app = create_auth(replace(settings, security=security))
    app.testing = True

    def sign_in(role: str) -> Headers:
        name = role
        if role != "admin":
            name = f"{role}{next(_numbers)}"
            user = {"username": name, "password": PASSWORD, "roles": [role]}
            stage.post("/users", stage.sign_in("admin"), json=user)
        credentials = {"username": name, "password": PASSWORD}
        token = stage.post("/login", {}, json=credentials).json["access_token"]
        return {"Authorization": f"Bearer {token}"}

    stage = Stage(app, sign_in, _create_auth_resources)
    with fast_password_hashes():
        yield stage


def _create_auth_resources(stage: Stage, headers: Headers) -> dict[str, str]:
    number = next(_numbers)
    tenant = stage.post("/tenants", headers, json={"name": f"Team {number}"}).json["id"]
    registration = {"username": f"member{number}", "password": PASSWORD}
    user = stage.post("/register", {}, json=registration).json["user"]["id"]
    role = f"reader-{number}"
    put = stage.client.put(f"/roles/{role}", headers=headers, json={"permissions": ["rag:read"]})
    assert put.status_code == 201, put.text
    key = stage.post("/api-keys", headers, json={"name": "one"}).json["id"]
    body = {"name": "a channel", "permissions": ["rag:read"]}
    account = stage.post("/service-accounts", headers, json=body).json["id"]
    guest = {"email": f"guest{number}@example.org"}
    # A tenant may send a hundred invitations an hour; long tests reach this.
    invitation = stage.client.post("/invitations", headers=headers, json=guest)
    assert invitation.status_code in (201, 429), invitation.text
    sessions = stage.client.get("/me/sessions", headers=headers).json["items"]
    return {
        "tenant_id": tenant,
        "user_id": user,
        "name": role,
        "key_id": key,
        "account_id": account,
        "invitation_id": invitation.json.get("id", "none"),
        "session_id": next((item["id"] for item in sessions if not item["current"]), "none"),
    }


@contextmanager
def chat(folder: Path, url: str | None = None) -> Iterator[Stage]:
    identities = Identities()
    with run_server(FakeAgent()) as agent_service:
        env = Env(
            {
                "DATA_DIR": str(folder),
                "DATABASE_URL": url or database_in(folder, "chat"),
                "AGENT_SERVICE_URL": agent_service.url,
                "AUTH_SERVICE_URL": agent_service.url,
            }
        )
        app = create_chat(ChatSettings.from_env(env))
        app.testing = True
        try:
            sign_in = _sign_in_with(identities)
            yield Stage(
                identities.trust(app), sign_in, _create_chat_resources, identities=identities
            )
        finally:
            get_component(app, WorkerWaker).stop()


def _create_chat_resources(stage: Stage, headers: Headers) -> dict[str, str]:
    message = {"channel": "web", "content": {"type": "text", "text": f"Hello {next(_numbers)}"}}
    body = stage.post("/message?wait=5", headers, json=message).json
    return {
        "conversation_id": body["conversation_id"],
        "message_id": body["message"]["id"],
        "emoji": "%F0%9F%91%8D",
    }


@contextmanager
def packages(folder: Path, url: str | None = None) -> Iterator[Stage]:
    identities = Identities()
    env = Env({"DATA_DIR": str(folder), "DATABASE_URL": url or database_in(folder, "packages")})
    app = create_packages(PackageSettings.from_env(env))
    app.testing = True
    try:
        sign_in = _sign_in_with(identities)
        yield Stage(identities.trust(app), sign_in, _create_package, identities=identities)
    finally:
        get_component(app, BackgroundTasks).stop()


def _create_package(stage: Stage, headers: Headers) -> dict[str, str]:
    package = {"tracking_number": f"PARCEL{next(_numbers):08}", "carrier": "own"}
    return {"package_id": stage.post("/packages", headers, json=package).json["id"]}


STAGES = {"auth": auth, "agent": agent, "rag": rag, "chat": chat, "packages": packages}


def _sign_in_with(identities: Identities) -> Callable[[str], Headers]:
    return lambda role: identities.bearer(f"user-{role}", permissions=BUILT_IN_ROLES[role])


def _common_settings(name: str, folder: Path) -> CommonSettings:
    return CommonSettings(
        name=name,
        is_production=False,
        host="127.0.0.1",
        port=5000,
        data_dir=folder,
        redis_url=None,
        secret_key=Secret("a secret of the tests, long enough"),
    )
