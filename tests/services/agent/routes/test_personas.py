"""Personas: the built-in ones, one's own, and the tenant's."""

import pytest

from backend.security import BUILT_IN_ROLES
from tests.services.agent.stand_ins import Reply, ask

PIRATE = {"name": "Pirate", "system_prompt": "Talk like a pirate.", "temperature": 1.5}
TEAM = "tenant-team"


@pytest.fixture
def eve(identities):
    """Who administers the team in which bob works."""
    return identities.bearer("user-eve", tenant_id=TEAM, permissions=BUILT_IN_ROLES["tenant_admin"])


@pytest.fixture
def bob(identities):
    return identities.bearer("user-bob", tenant_id=TEAM)


def names(client, who):
    return [each["name"] for each in client.get("/personas", headers=who).json["items"]]


def test_four_personas_are_built_in_with_a_prompt_a_temperature_and_a_limit(client, ada):
    items = client.get("/personas", headers=ada).json["items"]

    assert [each["name"] for each in items] == [
        "assistant",
        "creative",
        "analytical",
        "professional",
    ]
    assert all(each["system_prompt"] and each["max_tokens"] for each in items)
    assert items[1]["temperature"] > items[2]["temperature"]


def test_a_persona_sets_prompt_temperature_and_tokens_of_the_model(scripted, model, ada):
    model.will(Reply(text="Well."), Reply(text="Well."))

    ask(scripted, ada, "Hm?", persona="creative")
    ask(scripted, ada, "Hm?")

    creative, none = model.requests
    assert "imaginative" in creative["messages"][0]["content"]
    assert (creative["temperature"], creative["max_tokens"]) == (0.9, 2048)
    assert "imaginative" not in none["messages"][0]["content"]
    assert "temperature" not in none


def test_what_a_request_says_goes_before_its_persona(scripted, model, ada):
    model.will(Reply(text="Well."))

    ask(scripted, ada, "Hm?", persona="creative", temperature=0, max_tokens=7)

    assert (model.requests[0]["temperature"], model.requests[0]["max_tokens"]) == (0, 7)


def test_ones_own_persona_is_named_by_name_or_id_and_can_be_changed(scripted, model, ada):
    model.will(Reply(text="Arr."), Reply(text="Well."))
    made = scripted.post("/personas", json=PIRATE, headers=ada)
    path = f"/personas/{made.json['id']}"

    ask(scripted, ada, "Hm?", persona="pirate")
    changed = {"name": "Pirate", "system_prompt": "Talk like a parrot."}
    assert scripted.put(path, json=changed, headers=ada).json["temperature"] is None
    ask(scripted, ada, "Hm?", persona=made.json["id"])

    assert made.status_code == 201
    assert "pirate" in model.requests[0]["messages"][0]["content"]
    assert model.requests[0]["temperature"] == 1.5
    assert "parrot" in model.requests[1]["messages"][0]["content"]
    assert scripted.delete(path, headers=ada).status_code == 204
    assert scripted.get(path, headers=ada).status_code == 404


def test_a_persona_is_its_owners_alone(client, ada, bob):
    made = client.post("/personas", json=PIRATE, headers=ada).json
    path = f"/personas/{made['id']}"

    assert "Pirate" not in names(client, bob)
    for response in (
        client.get(path, headers=bob),
        client.put(path, json=PIRATE, headers=bob),
        client.delete(path, headers=bob),
    ):
        assert (response.status_code, response.json["code"]) == (404, "persona_not_found")
    refused = ask(client, bob, "Hm?", persona=made["id"])
    assert (refused.status_code, refused.json["code"]) == (422, "unknown_persona")


def test_the_tenants_personas_are_made_by_its_administrators_and_seen_by_all(client, ada, bob, eve):
    refused = client.post("/personas", json=PIRATE | {"shared": True}, headers=bob)
    made = client.post("/personas", json=PIRATE | {"shared": True}, headers=eve).json
    path = f"/personas/{made['id']}"

    assert (refused.status_code, refused.json["code"]) == (403, "not_your_persona")
    assert "Pirate" in names(client, bob)
    assert "Pirate" not in names(client, ada)
    assert client.delete(path, headers=bob).status_code == 403
    assert client.put(path, json=PIRATE, headers=bob).status_code == 403
    assert client.delete(path, headers=eve).status_code == 204


@pytest.mark.parametrize("name", ["Pirate", "pirate", "Assistant"])
def test_a_name_is_taken_once(client, ada, name):
    client.post("/personas", json=PIRATE, headers=ada)

    refused = client.post("/personas", json=PIRATE | {"name": name}, headers=ada)

    assert (refused.status_code, refused.json["code"]) == (409, "persona_name_taken")


def test_a_built_in_persona_stays_as_it_is(client, ada):
    assert client.put("/personas/assistant", json=PIRATE, headers=ada).status_code == 403
    assert client.delete("/personas/assistant", headers=ada).status_code == 403
    assert client.get("/personas/assistant", headers=ada).json["built_in"] is True


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        pytest.param({"name": ""}, "#/name", id="no name"),
        pytest.param({"name": "a\x00b"}, "#/name", id="a control character"),
        pytest.param({"system_prompt": "x" * 8_001}, "#/system_prompt", id="too long"),
        pytest.param({"temperature": 2.1}, "#/temperature", id="too hot"),
        pytest.param({"max_tokens": 10**9}, "#/max_tokens", id="too many tokens"),
        pytest.param({"tenant_id": "x"}, "#/tenant_id", id="an unknown field"),
    ],
)
def test_a_persona_is_checked_field_by_field(client, ada, change, pointer):
    response = client.post("/personas", json=PIRATE | change, headers=ada)

    assert response.status_code == 422
    assert [each["pointer"] for each in response.json["errors"]] == [pointer]


def test_the_embedded_model_keeps_to_a_personas_limit_of_tokens(client, shelf, ada):
    shelf.hold("The boat is called Aurora and was built in Bergen in 1931.", ada)
    client.post("/personas", json=PIRATE | {"max_tokens": 3}, headers=ada)

    answer = ask(client, ada, "What is the boat called?", persona="Pirate").json

    assert (answer["finish_reason"], len(answer["response"].split()) <= 4) == ("length", True)
