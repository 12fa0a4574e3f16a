"""Every route that changes something is classified: sensitive, or open to API keys."""

import pytest

from backend.chassis.catalog import CATALOG
from backend.security.guards import get_guard
from backend.services.auth.routes.sensitive_operations import SENSITIVE_OPERATIONS

_READ_METHODS = {"GET", "HEAD", "OPTIONS"}
# Routes that an API key with the declared permission may use. A new route belongs here, or in
# SENSITIVE_OPERATIONS if it changes how a user signs in, grants rights, deletes an account or
# creates access that outlives the key.
OPEN_TO_API_KEYS = {
    "auth": {
        "DELETE /roles/<name>",
        "DELETE /tenants/<tenant_id>/members/<user_id>",
        "PATCH /tenants/<tenant_id>",
        "POST /tenants",
        "POST /users/<user_id>/unlock",
    },
    "agent": {
        "DELETE /personas/<persona_id>",
        "DELETE /sessions/<session_id>",
        "DELETE /sessions/<session_id>/feedback/<message_id>",
        "PATCH /sessions/<session_id>",
        "POST /mcp",
        "POST /personas",
        "POST /query",
        "POST /sessions",
        "POST /sessions/<session_id>/cancel",
        "POST /sessions/<session_id>/feedback",
        "POST /sessions/<session_id>/messages",
        "POST /sessions/<session_id>/messages/<message_id>/edit",
        "POST /sessions/<session_id>/messages/<message_id>/regenerate",
        "POST /sessions/<session_id>/resume",
        "POST /v1/chat/completions",
        "PUT /personas/<persona_id>",
    },
    "rag": {
        "DELETE /collections/<name>",
        "DELETE /collections/<name>/grants/<user_id>",
        "DELETE /documents/<document_id>",
        "PATCH /collections/<name>",
        "PATCH /documents/<document_id>",
        "POST /collections",
        "POST /documents",
        "POST /documents/<document_id>/reindex",
        "POST /query",
        "POST /search",
        "PUT /collections/<name>/grants/<user_id>",
    },
    "chat": {
        "DELETE /accounts/<account_id>",
        "DELETE /contacts/<contact_id>",
        "DELETE /conversations/<conversation_id>",
        "DELETE /conversations/<conversation_id>/messages/<message_id>",
        "DELETE /conversations/<conversation_id>/messages/<message_id>/reactions/<emoji>",
        "DELETE /history/<conversation_id>",
        "DELETE /history/people/<person>",
        "DELETE /hooks/<hook_id>",
        "PATCH /accounts/<account_id>",
        "PATCH /contacts/<contact_id>",
        "PATCH /conversations/<conversation_id>",
        "PATCH /conversations/<conversation_id>/messages/<message_id>",
        "PATCH /hooks/<hook_id>",
        "POST /accounts",
        "POST /accounts/<account_id>/check",
        "POST /contacts/<contact_id>/link",
        "POST /contacts/<contact_id>/merge",
        "POST /conversations/<conversation_id>/attachments",
        "POST /conversations/<conversation_id>/messages",
        "POST /conversations/<conversation_id>/typing",
        "POST /deliveries/<delivery_id>/cancel",
        "POST /deliveries/<delivery_id>/retry",
        "POST /hooks",
        "POST /inbound/<inbound_id>/replay",
        "POST /message",
        "POST /templates/sync",
        "POST /v1/audio/speech",
        "POST /v1/audio/transcriptions",
        "PUT /conversations/<conversation_id>/messages/<message_id>/reactions/<emoji>",
        "PUT /conversations/<conversation_id>/read",
        "PUT /retention",
    },
    "admin": {
        "DELETE /chat/history/<conversation_id>",
        "DELETE /chat/history/people/<person>",
        "PUT /chat/retention",
        # Auth applies its own rules to the forwarded request.
        "DELETE /users/<user_id>",
        "PATCH /users/<user_id>",
        "POST /users",
        "POST /users/<user_id>/disable",
        "POST /users/<user_id>/enable",
        "POST /users/<user_id>/unlock",
    },
    "packages": {
        "DELETE /packages/<package_id>",
        "DELETE /packages/webhook-accounts/<account_id>",
        "PATCH /packages/<package_id>",
        "PATCH /packages/webhook-accounts/<account_id>",
        "POST /packages",
        "POST /packages/<package_id>/events",
        "POST /packages/epcis",
        "POST /agents/investigate/anomaly/<package_id>",
        "POST /agents/investigate/delay/<package_id>",
        "POST /agents/optimize/route/<package_id>",
        "POST /agents/optimize/tour",
        "POST /agents/predict/<package_id>",
        "POST /packages/import",
        "POST /packages/webhook-accounts",
        "POST /packages/webhook-accounts/<account_id>/deliveries/<delivery_id>/replay",
        "PUT /packages/<package_id>",
    },
    "realtime": {"POST /publish", "POST /tickets", "PUT /notifications/read"},
    "console": {"POST /code", "POST /formula"},
    "gateway": set(),
}


def list_changing_routes(app):
    """Yield (route, view) for the routes of users that can change something."""
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        guard = get_guard(view)
        is_open = guard.public or guard.internal or rule.endpoint.startswith("forwarding.")
        if not is_open:
            for method in sorted((rule.methods or set()) - _READ_METHODS):
                yield f"{method} {rule}", view


@pytest.mark.parametrize("name", [entry.name for entry in CATALOG])
def test_every_route_is_sensitive_or_open_to_api_keys(build, name):
    routes = dict(list_changing_routes(build(name)))
    sensitive = set(SENSITIVE_OPERATIONS) if name == "auth" else set()

    assert set(routes) == OPEN_TO_API_KEYS[name] | sensitive
    assert not OPEN_TO_API_KEYS[name] & sensitive
    protected = {route for route, view in routes.items() if getattr(view, "is_sensitive", False)}
    assert protected == sensitive
