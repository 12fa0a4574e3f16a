"""CORS headers of a service in debug mode."""

import pytest
from flask import Flask

from backend.chassis.settings import Env, SettingsError
from backend.chassis.web.cors import allow_cross_origin_requests, load_cors_origins

PAGE = "http://localhost:3000"


def app_for(origins: str) -> Flask:
    app = Flask(__name__)
    app.add_url_rule("/things", "things", lambda: "all", methods=["GET", "POST"])
    allow_cross_origin_requests(app, load_cors_origins(Env({"CORS_ORIGINS": origins})))
    return app


def test_page_of_an_allowed_origin_may_call_the_service() -> None:
    client = app_for(f"{PAGE},https://app.example/").test_client()

    response = client.get("/things", headers={"Origin": PAGE})
    preflight = client.options(
        "/things",
        headers={
            "Origin": "https://app.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "Authorization",
        },
    )

    assert response.headers.getlist("Access-Control-Allow-Origin") == [PAGE]
    assert preflight.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    assert preflight.headers["Access-Control-Allow-Headers"] == "Authorization"


@pytest.mark.parametrize(("origins", "page"), [(PAGE, "http://localhost:3001"), ("", PAGE)])
def test_page_of_another_origin_gets_no_permission(origins: str, page: str) -> None:
    response = app_for(origins).test_client().get("/things", headers={"Origin": page})

    assert "Access-Control-Allow-Origin" not in response.headers


def test_value_without_scheme_is_refused() -> None:
    with pytest.raises(SettingsError, match="is not an origin"):
        load_cors_origins(Env({"CORS_ORIGINS": "app.example"}))
