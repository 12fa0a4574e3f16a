"""A plain Flask app that uses the decorators."""

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pydantic import Field

from backend.security import (
    Input,
    Permission,
    authenticated,
    current_principal,
    public,
    require_permission,
    require_resource,
    validate_input,
    validate_query,
)
from tests.identities import Identities


class Item(Input):
    name: str
    count: int = 1
    extra: dict[str, list[str]] = Field(default_factory=dict)


class Filter(Input):
    limit: int = 5
    name: str = ""


@pytest.fixture
def app(identities: Identities) -> Flask:
    app = Flask("bare")

    @app.post("/items/<shelf>")
    @require_permission(Permission.RAG_WRITE)
    @validate_input(Item)
    def add_item(item: Item, shelf: str):
        return {"name": item.name, "shelf": shelf}, 201

    @app.post("/notes")
    @public
    @validate_input(Item, optional=True)
    def add_note(item: Item | None):
        return {"name": item.name if item else None}

    @app.get("/items")
    @public
    @validate_query(Filter)
    def items(query: Filter):
        return {"limit": query.limit, "name": query.name}

    @app.get("/who")
    @authenticated
    def who():
        principal = current_principal()
        return {
            "user": principal.user_id,
            "tenant": principal.tenant_id,
            "permissions": sorted(principal.permissions),
        }

    @app.get("/things/<name>")
    @require_permission(Permission.RAG_READ)
    @require_resource(
        lambda principal, name: name.upper() if name.startswith(principal.user_id) else None
    )
    def thing(resource: str):
        return {"thing": resource}

    @app.get("/anonymous")
    @public
    def anonymous():
        return {"user": current_principal().user_id}

    return identities.trust(app)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()
