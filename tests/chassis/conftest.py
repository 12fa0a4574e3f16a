"""A service of no meaning on the chassis."""

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from pydantic import BaseModel

from backend.chassis.database.sessions import Database, open_database
from backend.chassis.settings import CommonSettings, Secret
from backend.chassis.web.app_factory import (
    create_service,
    open_metrics,
    provide,
    seal,
    self_description,
)
from backend.chassis.web.idempotency import Idempotency, idempotency_table, idempotent
from backend.chassis.web.openapi import answers, answers_stream
from backend.chassis.web.problems import ServiceError
from backend.security import Input, Permission, public, require_permission, validate_input


class Thing(Input):
    name: str


class Made(BaseModel):
    number: int
    name: str


class NameTaken(ServiceError):
    status = 409
    code = "name_taken"
    title = "Name taken"


@pytest.fixture
def common(tmp_path) -> CommonSettings:
    return CommonSettings(
        name="rag",
        production=False,
        host="127.0.0.1",
        port=5003,
        data_dir=tmp_path,
        redis_url=None,
        secret_key=Secret("a secret of the tests, long enough"),
    )


@pytest.fixture
def database(database_url) -> Database:
    database = open_database(database_url, "things")
    metadata = sa.MetaData()
    idempotency_table("things", metadata)
    with database.as_owner() as connection:
        metadata.create_all(connection)
    yield database
    database.engine.dispose()


@pytest.fixture
def app(common, database, identities) -> Flask:
    app = create_service(common, {"database": database.check})
    provide(app, Idempotency("things", database, common.secret_key.reveal()))
    made: list[str] = []

    @app.post("/things")
    @require_permission(Permission.RAG_WRITE)
    @validate_input(Thing)
    @idempotent
    @answers(Made, 201, errors=(NameTaken,))
    def make(thing: Thing) -> Made:
        """Make a thing."""
        if thing.name == "taken":
            raise NameTaken("Choose another name.")
        if thing.name == "broken":
            raise ZeroDivisionError("SELECT secret FROM users")
        made.append(thing.name)
        return Made(number=len(made), name=thing.name)

    @app.delete("/things/<int:number>")
    @public
    @answers(None, 204)
    def remove(number: int) -> None:
        """Remove a thing."""

    @app.get("/things/<int:number>/picture")
    @public
    @answers_stream("image/png", "image/gif", errors=(NameTaken,), error_model=Made)
    def picture(number: int) -> bytes:
        """A picture of a thing."""
        return b""

    open_metrics(app)
    self_description(app)
    return identities.trust(seal(app))


@pytest.fixture
def client(app) -> FlaskClient:
    return app.test_client()
