"""A sample service built on the chassis."""

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from pydantic import BaseModel

from backend.chassis.database.sessions import Database, open_database
from backend.chassis.settings import CommonSettings, Secret
from backend.chassis.web.app_factory import (
    add_docs_routes,
    add_metrics_route,
    create_service,
    provide,
    verify_routes,
)
from backend.chassis.web.idempotency import (
    IdempotencyStore,
    idempotency_table,
    idempotent,
    idempotent_with_secret,
)
from backend.chassis.web.openapi import responds_with, responds_with_stream
from backend.chassis.web.problems import ServiceError
from backend.security import Input, Permission, public, require_permission, validate_input


class Thing(Input):
    name: str


class CreatedThing(BaseModel):
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
        is_production=False,
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
    app = create_service(common, {"database": database.check_connection})
    provide(app, IdempotencyStore("things", database, common.secret_key.reveal()))
    names: list[str] = []

    @app.post("/things")
    @require_permission(Permission.RAG_WRITE)
    @validate_input(Thing)
    @idempotent
    @responds_with(CreatedThing, 201, errors=(NameTaken,))
    def create_thing(thing: Thing) -> CreatedThing:
        """Create a thing."""
        if thing.name == "taken":
            raise NameTaken("Choose another name.")
        if thing.name == "broken":
            raise ZeroDivisionError("SELECT secret FROM users")
        names.append(thing.name)
        return CreatedThing(number=len(names), name=thing.name)

    @app.post("/secret-things")
    @require_permission(Permission.RAG_WRITE)
    @validate_input(Thing)
    @idempotent_with_secret
    @responds_with(CreatedThing, 201)
    def create_secret_thing(thing: Thing) -> CreatedThing:
        """Create a thing whose response contains a secret."""
        return CreatedThing(number=1, name=thing.name)

    @app.delete("/things/<int:number>")
    @public
    @responds_with(None, 204)
    def delete_thing(number: int) -> None:
        """Delete a thing."""

    @app.get("/things/<int:number>/picture")
    @public
    @responds_with_stream("image/png", "image/gif", errors=(NameTaken,), error_model=CreatedThing)
    def get_picture(number: int) -> bytes:
        """Get the picture of a thing."""
        return b""

    add_metrics_route(app)
    add_docs_routes(app)
    return identities.trust(verify_routes(app))


@pytest.fixture
def client(app) -> FlaskClient:
    return app.test_client()
