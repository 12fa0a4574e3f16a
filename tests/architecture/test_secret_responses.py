"""Responses with tokens, keys and secrets are neither stored by caches nor compressed."""

from typing import get_args

import pytest
from flask import Response
from pydantic import BaseModel, RootModel

from backend.chassis.catalog import CATALOG

SECRET_FIELDS = {
    *("access_token", "refresh_token", "token", "key", "secret", "password"),
    *("otpauth_uri", "recovery_codes", "codes"),
}


def list_fields(model: type[BaseModel]) -> set[str]:
    """Return the fields of *model*, or of all models of a union."""
    if issubclass(model, RootModel):
        return set().union(*map(list_fields, get_args(model.model_fields["root"].annotation)))
    return set(model.model_fields)


def list_secret_routes(app):
    """Yield (rule, blueprint) of the routes whose responses have a field of SECRET_FIELDS."""
    for rule in app.url_map.iter_rules():
        spec = getattr(app.view_functions[rule.endpoint], "response_spec", None)
        if spec is not None and spec.model is not None and list_fields(spec.model) & SECRET_FIELDS:
            yield str(rule), rule.endpoint.rpartition(".")[0]


@pytest.mark.parametrize("name", [entry.name for entry in CATALOG])
def test_responses_with_secrets_are_marked_as_not_to_be_stored(build, name):
    app = build(name)
    unmarked = []
    for rule, blueprint in list_secret_routes(app):
        response = Response()
        with app.test_request_context():
            for hook in app.after_request_funcs.get(blueprint, ()):
                response = hook(response)
        if not response.cache_control.no_store:
            unmarked.append(rule)

    assert unmarked == [], "Add an after_request hook that sets Cache-Control: no-store."


def test_routes_with_secrets_are_found(build):
    rules = {rule for rule, _ in list_secret_routes(build("auth"))}

    assert {
        "/login",
        "/register",
        "/refresh",
        "/api-keys",
        "/service-accounts",
        "/invitations/accept",
        "/mfa/totp",
    } <= rules
