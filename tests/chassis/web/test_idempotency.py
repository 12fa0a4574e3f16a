"""The same key with the same body gets the same answer, and nothing is made twice."""

import pytest


@pytest.fixture
def database_url(each_database_url):
    return each_database_url


LAMP = {"name": "lamp"}


def make(client, identities, key, thing=LAMP, who="user-ada"):
    headers = identities.bearer(who) | {"Idempotency-Key": key}
    return client.post("/things", json=thing, headers=headers)


def test_the_same_request_again_gets_the_first_answer(client, identities):
    first = make(client, identities, "key-1")
    again = make(client, identities, "key-1")

    assert (first.status_code, first.json) == (again.status_code, again.json)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert make(client, identities, "key-2").json["number"] == 2


def test_another_body_under_the_same_key_is_a_conflict(client, identities):
    make(client, identities, "key-1")

    response = make(client, identities, "key-1", {"name": "chair"})

    assert (response.status_code, response.json["code"]) == (409, "idempotency_conflict")


def test_two_people_may_choose_the_same_key(client, identities):
    make(client, identities, "key-1")
    assert make(client, identities, "key-1", who="user-bob").json["number"] == 2


def test_a_request_that_failed_may_be_tried_again(client, identities):
    first = make(client, identities, "key-1", {"name": "taken"})
    again = make(client, identities, "key-1", {"name": "taken"})

    assert first.json["code"] == again.json["code"] == "name_taken"


@pytest.mark.parametrize("key", ["", "with space", "k" * 256])
def test_a_malformed_key_is_refused(client, identities, key):
    assert make(client, identities, key).json["code"] == "invalid_idempotency_key"


def test_the_kept_answer_can_not_be_read_in_the_table(client, identities, database):
    make(client, identities, "key-1", {"name": "a name to look for"})

    with database.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT * FROM things_idempotency_keys").all()

    assert len(rows) == 1
    assert "a name to look for" not in repr(rows)
