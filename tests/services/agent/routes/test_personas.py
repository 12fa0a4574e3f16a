"""Tests of personas: built-in, own and shared ones."""

import pytest

from backend.security import BUILT_IN_ROLES
from tests.services.agent.fakes import Reply, post_query

PIRATE = {"name": "Pirate", "system_prompt": "Talk like a pirate.", "temperature": 1.5}
TEAM = "tenant-team"


@pytest.fixture
def eve(identities):
    """Credentials of an administrator of Bob's tenant."""
    return identities.bearer("user-eve", tenant_id=TEAM, permissions=BUILT_IN_ROLES["tenant_admin"])


@pytest.fixture
def bob(identities):
    return identities.bearer("user-bob", tenant_id=TEAM)


def list_names(client, bearer):
    items = client.get("/personas", headers=bearer).json["items"]
    return [persona["name"] for persona in items]


def test_built_in_personas_have_prompt_temperature_and_token_limit(client, ada):
    items = client.get("/personas", headers=ada).json["items"]

    assert [persona["name"] for persona in items] == [
        "assistant",
        "creative",
        "analytical",
        "professional",
    ]
    assert all(persona["system_prompt"] and persona["max_tokens"] for persona in items)
    assert items[1]["temperature"] > items[2]["temperature"]


def test_persona_sets_prompt_temperature_and_token_limit(scripted_client, model, ada):
    model.queue_replies(Reply(text="Well."), Reply(text="Well."))

    post_query(scripted_client, ada, "Hm?", persona="creative")
    post_query(scripted_client, ada, "Hm?")

    creative, default = model.requests
    assert "imaginative" in creative["messages"][0]["content"]
    assert (creative["temperature"], creative["max_tokens"]) == (0.9, 2048)
    assert "imaginative" not in default["messages"][0]["content"]
    assert "temperature" not in default


def test_request_parameters_override_the_persona(scripted_client, model, ada):
    model.queue_replies(Reply(text="Well."))

    post_query(scripted_client, ada, "Hm?", persona="creative", temperature=0, max_tokens=7)

    assert (model.requests[0]["temperature"], model.requests[0]["max_tokens"]) == (0, 7)


def test_own_persona_is_selected_by_name_or_id_and_can_be_updated(scripted_client, model, ada):
    model.queue_replies(Reply(text="Arr."), Reply(text="Well."))
    created = scripted_client.post("/personas", json=PIRATE, headers=ada)
    path = f"/personas/{created.json['id']}"

    post_query(scripted_client, ada, "Hm?", persona="pirate")
    replacement = {"name": "Pirate", "system_prompt": "Talk like a parrot."}
    assert scripted_client.put(path, json=replacement, headers=ada).json["temperature"] is None
    post_query(scripted_client, ada, "Hm?", persona=created.json["id"])

    assert created.status_code == 201
    assert "pirate" in model.requests[0]["messages"][0]["content"]
    assert model.requests[0]["temperature"] == 1.5
    assert "parrot" in model.requests[1]["messages"][0]["content"]
    assert scripted_client.delete(path, headers=ada).status_code == 204
    assert scripted_client.get(path, headers=ada).status_code == 404


def test_persona_of_another_user_returns_404(client, ada, bob):
    created = client.post("/personas", json=PIRATE, headers=ada).json
    path = f"/personas/{created['id']}"

    assert "Pirate" not in list_names(client, bob)
    for response in (
        client.get(path, headers=bob),
        client.put(path, json=PIRATE, headers=bob),
        client.delete(path, headers=bob),
    ):
        assert (response.status_code, response.json["code"]) == (404, "persona_not_found")
    refused = post_query(client, bob, "Hm?", persona=created["id"])
    assert (refused.status_code, refused.json["code"]) == (422, "unknown_persona")


def test_shared_personas_are_managed_by_administrators_and_visible_to_the_tenant(
    client, ada, bob, eve
):
    refused = client.post("/personas", json=PIRATE | {"shared": True}, headers=bob)
    created = client.post("/personas", json=PIRATE | {"shared": True}, headers=eve).json
    path = f"/personas/{created['id']}"

    assert (refused.status_code, refused.json["code"]) == (403, "not_your_persona")
    assert "Pirate" in list_names(client, bob)
    assert "Pirate" not in list_names(client, ada)
    assert client.delete(path, headers=bob).status_code == 403
    assert client.put(path, json=PIRATE, headers=bob).status_code == 403
    assert client.delete(path, headers=eve).status_code == 204


@pytest.mark.parametrize("name", ["Pirate", "pirate", "Assistant"])
def test_persona_name_must_be_unique(client, ada, name):
    client.post("/personas", json=PIRATE, headers=ada)

    refused = client.post("/personas", json=PIRATE | {"name": name}, headers=ada)

    assert (refused.status_code, refused.json["code"]) == (409, "persona_name_taken")


def test_built_in_persona_is_read_only(client, ada):
    assert client.put("/personas/assistant", json=PIRATE, headers=ada).status_code == 403
    assert client.delete("/personas/assistant", headers=ada).status_code == 403
    assert client.get("/personas/assistant", headers=ada).json["built_in"] is True


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        pytest.param({"name": ""}, "#/name", id="empty name"),
        pytest.param({"name": "a\x00b"}, "#/name", id="control character in name"),
        pytest.param({"system_prompt": "x" * 8_001}, "#/system_prompt", id="prompt too long"),
        pytest.param({"temperature": 2.1}, "#/temperature", id="temperature too high"),
        pytest.param({"max_tokens": 10**9}, "#/max_tokens", id="too many tokens"),
        pytest.param({"tenant_id": "x"}, "#/tenant_id", id="unknown field"),
    ],
)
def test_persona_rejects_invalid_field(client, ada, change, pointer):
    response = client.post("/personas", json=PIRATE | change, headers=ada)

    assert response.status_code == 422
    assert [error["pointer"] for error in response.json["errors"]] == [pointer]


def test_rule_based_model_applies_the_token_limit_of_the_persona(client, rag_service, ada):
    rag_service.add_document("The boat is called Aurora and was built in Bergen in 1931.", ada)
    client.post("/personas", json=PIRATE | {"max_tokens": 3}, headers=ada)

    answer = post_query(client, ada, "What is the boat called?", persona="Pirate").json

    assert (answer["finish_reason"], len(answer["response"].split()) <= 4) == ("length", True)
