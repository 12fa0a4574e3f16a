"""Collections, documents, passages and bytes in numbers, all tenants together."""

from tests.services.rag.conftest import Person


def test_everything_is_counted_now_and_by_day(start, identities, each_database_url):
    app = start(identities, database_url=each_database_url)
    ada, bob = (Person(app, identities.bearer(name)) for name in ("user-ada", "user-bob"))
    admin = Person(app, identities.bearer("user-admin", permissions=["system:read"]))
    empty = admin("GET", "/stats?days=2").json
    ada.upload("One passage about boats.", "boats.txt")
    bob.upload("Another passage, about ships.", "ships.txt")
    bob("POST", "/collections", json={"name": "another"})
    answer = admin("GET", "/stats?days=2").json

    nothing = {"total": 0, "queued": 0, "processing": 0, "ready": 0, "failed": 0}
    assert (empty["documents"], empty["chunks"], empty["bytes"]) == (nothing, 0, 0)
    assert answer["documents"] == nothing | {"total": 2, "ready": 2}
    assert (answer["collections"], answer["chunks"]) == (3, 2)
    assert answer["bytes"] == 24 + 29
    assert sum(day["documents"] for day in answer["days"]) == 2
    assert sum(day["bytes"] for day in answer["days"]) == answer["bytes"]


def test_who_may_not_see_the_system_sees_no_numbers(ada):
    assert ada("GET", "/stats").status_code == 403
