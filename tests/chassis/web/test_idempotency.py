"""Requests with an Idempotency-Key are handled once."""

import pytest


@pytest.fixture
def database_url(each_database_url):
    return each_database_url


LAMP = {"name": "lamp"}


def create_thing(client, identities, key, thing=LAMP, user_id="user-ada", **claims):
    headers = identities.bearer(user_id, **claims) | {"Idempotency-Key": key}
    return client.post("/things", json=thing, headers=headers)


def test_repeated_request_returns_the_first_response(client, identities):
    first = create_thing(client, identities, "key-1")
    second = create_thing(client, identities, "key-1")

    assert (first.status_code, first.json) == (second.status_code, second.json)
    assert second.headers["Idempotency-Replayed"] == "true"
    assert create_thing(client, identities, "key-2").json["number"] == 2


def test_same_key_with_another_body_returns_409(client, identities):
    create_thing(client, identities, "key-1")

    response = create_thing(client, identities, "key-1", {"name": "chair"})

    assert (response.status_code, response.json["code"]) == (409, "idempotency_conflict")


def test_users_can_use_the_same_key(client, identities):
    create_thing(client, identities, "key-1")
    assert create_thing(client, identities, "key-1", user_id="user-bob").json["number"] == 2


@pytest.mark.parametrize(
    "claims",
    [{"sid": "another-session"}, {"sid": "key:narrow"}, {"permissions": ["rag:write"]}],
    ids=str,
)
def test_response_is_not_repeated_to_another_credential_of_the_user(client, identities, claims):
    create_thing(client, identities, "key-1")

    response = create_thing(client, identities, "key-1", **claims)

    assert "Idempotency-Replayed" not in response.headers
    assert response.json["number"] == 2


def test_response_with_a_secret_is_neither_repeated_nor_stored(client, identities, database):
    headers = identities.bearer("user-ada") | {"Idempotency-Key": "key-1"}

    first, repeated = (client.post("/secret-things", json=LAMP, headers=headers) for _ in "12")

    assert first.status_code == 201
    assert (repeated.status_code, repeated.json["code"]) == (409, "response_not_repeatable")
    with database.engine.connect() as connection:
        bodies = connection.exec_driver_sql("SELECT sealed_body FROM things_idempotency_keys")
        assert bodies.scalars().all() == [None]


def test_failed_request_can_be_repeated_with_the_same_key(client, identities):
    first = create_thing(client, identities, "key-1", {"name": "taken"})
    second = create_thing(client, identities, "key-1", {"name": "taken"})

    assert first.json["code"] == second.json["code"] == "name_taken"


@pytest.mark.parametrize("key", ["", "with space", "k" * 256])
def test_malformed_key_is_rejected(client, identities, key):
    assert create_thing(client, identities, key).json["code"] == "invalid_idempotency_key"


def test_stored_response_is_encrypted(client, identities, database):
    create_thing(client, identities, "key-1", {"name": "a name to look for"})

    with database.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT * FROM things_idempotency_keys").all()

    assert len(rows) == 1
    assert "a name to look for" not in repr(rows)
