"""Cursors are signed and valid for one list."""

import base64
import json

import pytest
from flask import Flask

from backend.chassis.web.paging import PageQuery, paginate
from backend.chassis.web.problems import register_error_handlers
from backend.security import public, validate_query
from backend.security.base64url import decode_base64url, encode_base64url

NUMBERS = [str(n) for n in range(10)]


@pytest.fixture
def client():
    app = Flask("things")
    app.config["SECRET_KEY"] = "a secret of the tests"
    register_error_handlers(app)

    for name in ("things", "others"):

        @app.get(f"/{name}", endpoint=name)
        @public
        @validate_query(PageQuery)
        def list_things(page: PageQuery) -> dict[str, object]:
            key = page.decode_cursor()
            rows = [number for number in NUMBERS if key is None or number > key[0]]
            items, cursor = paginate(rows[: page.limit + 1], page.limit, lambda row: (row,))
            return {"items": items, "next_cursor": cursor}

    return app.test_client()


def test_pages_follow_each_other(client):
    first = client.get("/things?limit=6").json
    second = client.get(f"/things?limit=6&cursor={first['next_cursor']}").json

    assert first["items"] + second["items"] == NUMBERS
    assert second["next_cursor"] is None


def test_cursor_of_another_list_is_rejected(client):
    cursor = client.get("/things?limit=6").json["next_cursor"]

    assert client.get(f"/others?cursor={cursor}").status_code == 422


def test_changed_cursor_is_rejected(client):
    cursor = client.get("/things?limit=6").json["next_cursor"]
    content = decode_base64url(cursor)
    changed = [
        encode_base64url(content[:n] + bytes([content[n] ^ 1]) + content[n + 1 :])
        for n in range(len(content))
    ]

    for other in (*changed, cursor + "=", cursor + "==", cursor[:-1], cursor + "A"):
        response = client.get("/things", query_string={"cursor": other})
        assert response.status_code == 422, other
        assert response.json["errors"][0]["pointer"] == "#/cursor"


@pytest.mark.parametrize(
    "key", [["\ud800"], ["0" * 20 + "9" * 100], [1], {"a": 1}, [], "x", [["x"]], None], ids=ascii
)
def test_cursor_without_signature_is_rejected(client, key):
    cursor = base64.urlsafe_b64encode(json.dumps(key).encode()).rstrip(b"=").decode()

    assert client.get(f"/things?cursor={cursor}").status_code == 422
