"""Each service by itself in a folder, with people of known roles and things of theirs."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from pathlib import Path

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from backend.chassis.embedding import Embedder, ModelChoice
from backend.chassis.models import ModelSettings
from backend.chassis.settings import CommonSettings, Env, Secret
from backend.security import BUILT_IN_ROLES
from backend.security.settings import SecuritySettings
from backend.services.agent.app import create_app as create_agent
from backend.services.agent.clients.runs import Limits
from backend.services.agent.settings import Settings as AgentSettings
from backend.services.auth.app import create_app as create_auth
from backend.services.auth.settings import Settings as AuthSettings
from backend.services.rag.app import create_app as create_rag
from backend.services.rag.clients.rerankers import RerankSettings
from backend.services.rag.jobs.ingestion import IngestionThread
from backend.services.rag.jobs.reembedding import ReembeddingThread
from backend.services.rag.settings import Settings as RagSettings
from backend.services.rag.store.vectors.opening import Place
from tests.databases import database_in
from tests.identities import Identities
from tests.services.agent.stand_ins import Shelf, WordEmbedder, serving

ROOT = Path(__file__).parents[2]
PASSWORD = "seven small boats"
MIB = 2**20
Headers = dict[str, str]
_numbers = count(1)


@dataclass
class Stage:
    """A service, and how those with a role are known there.

    *things* makes what the names in a path stand for, anew at each call, as the holder of
    the given headers.
    """

    app: Flask
    sign_in: Callable[[str], Headers]
    things: Callable[["Stage", Headers], dict[str, str]]
    signed_in: dict[str, Headers] = field(default_factory=dict)
    identities: Identities | None = None

    @property
    def client(self) -> FlaskClient:
        return self.app.test_client()

    def headers(self, who: str) -> Headers:
        """By what somebody with the role *who* is known; `nobody` by nothing."""
        if who == "nobody":
            return {}
        if who not in self.signed_in:
            self.signed_in[who] = self.sign_in(who)
        return self.signed_in[who]

    def made(self, path: str, headers: Headers, **body: object) -> TestResponse:
        response = self.client.post(path, headers=headers, **body)
        assert response.status_code < 300, response.text
        return response


@contextmanager
def rag(folder: Path, url: str | None = None) -> Iterator[Stage]:
    identities = Identities()
    settings = RagSettings(
        common=_common("rag", folder),
        database_url=url or database_in(folder, "rag"),
        max_upload_bytes=2 * MIB,
        max_waiting=10_000,
        extraction_seconds=20,
        ocr_seconds=60,
        extraction_memory_bytes=1024 * MIB,
        max_text_characters=1_000_000,
        keyword_passages=10_000,
        vectors=Place("chroma", folder / "rag" / "vectors"),
        embedding=ModelChoice(),
        reranking=RerankSettings(),
        models=ModelSettings(),
        broker_url=None,
        worker_threads=1,
        worker_port=5040,
    )
    app = create_rag(settings, Embedder(ROOT / ".cache", threads=1))
    app.testing = True
    try:
        known_to = _known_to(identities)
        yield Stage(identities.trust(app), known_to, _of_the_library, identities=identities)
    finally:
        for kind in (IngestionThread, ReembeddingThread):
            app.extensions["backend.parts"][kind].stop()


def _of_the_library(stage: Stage, headers: Headers) -> dict[str, str]:
    name = f"shelf {next(_numbers)}"
    stage.made("/collections", headers, json={"name": name})
    file = (io.BytesIO(f"Passage number {next(_numbers)}.".encode()), "passage.txt")
    response = stage.made("/documents?wait=30", headers, data={"file": file})
    document = response.json["documents"][0]["id"]
    return {"document_id": document, "name": name, "user_id": "user-bob"}


@contextmanager
def agent(folder: Path, url: str | None = None) -> Iterator[Stage]:
    identities = Identities()
    with serving(Shelf()) as shelf:
        settings = AgentSettings(
            common=_common("agent", folder),
            database_url=url or database_in(folder, "agent"),
            rag_urls=(shelf.url,),
            models=ModelSettings(timeout=timedelta(seconds=1)),
            limits=Limits(run_time=timedelta(seconds=20), tool_time=timedelta(seconds=1)),
        )
        app = create_agent(settings, embedder=WordEmbedder())
        app.testing = True
        known_to = _known_to(identities)
        yield Stage(identities.trust(app), known_to, _of_the_agent, identities=identities)


def _of_the_agent(stage: Stage, headers: Headers) -> dict[str, str]:
    response = stage.made("/query", headers, json={"user_request": "How much is 6 times 7?"})
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
    alone = SecuritySettings.from_env({"DATA_DIR": str(folder)})
    app = create_auth(replace(settings, security=alone))
    app.testing = True

    def sign_in(who: str) -> Headers:
        name = who
        if who != "admin":
            name = f"{who}{next(_numbers)}"
            person = {"username": name, "password": PASSWORD, "roles": [who]}
            stage.made("/users", stage.sign_in("admin"), json=person)
        credentials = {"username": name, "password": PASSWORD}
        token = stage.made("/login", {}, json=credentials).json["access_token"]
        return {"Authorization": f"Bearer {token}"}

    stage = Stage(app, sign_in, _of_auth)
    yield stage


def _of_auth(stage: Stage, headers: Headers) -> dict[str, str]:
    number = next(_numbers)
    tenant = stage.made("/tenants", headers, json={"name": f"Team {number}"}).json["id"]
    newcomer = {"username": f"member{number}", "password": PASSWORD}
    user = stage.made("/register", {}, json=newcomer).json["user"]["id"]
    role = f"reader-{number}"
    put = stage.client.put(f"/roles/{role}", headers=headers, json={"permissions": ["rag:read"]})
    assert put.status_code == 201, put.text
    key = stage.made("/api-keys", headers, json={"name": "one"}).json["id"]
    sessions = stage.client.get("/me/sessions", headers=headers).json["items"]
    return {
        "tenant_id": tenant,
        "user_id": user,
        "name": role,
        "key_id": key,
        "session_id": next((each["id"] for each in sessions if not each["current"]), "none"),
    }


STAGES = {"auth": auth, "agent": agent, "rag": rag}


def _known_to(identities: Identities) -> Callable[[str], Headers]:
    return lambda who: identities.bearer(f"user-{who}", permissions=BUILT_IN_ROLES[who])


def _common(name: str, folder: Path) -> CommonSettings:
    return CommonSettings(
        name=name,
        production=False,
        host="127.0.0.1",
        port=5000,
        data_dir=folder,
        redis_url=None,
        secret_key=Secret("a secret of the tests, long enough"),
    )
