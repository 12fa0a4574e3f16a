"""The audit trail: one's own part of it, and who was turned away."""

from tests.services.auth.people import Person, outcome


def test_ones_own_activity_is_told_the_newest_first_and_nobody_elses(client, ada):
    Person.register(client, "bob")
    client.post("/login", json={"username": "ada", "password": "not the password"})
    Person.sign_in(client, "ada")

    first = ada.get("/me/activity?limit=2").json
    rest = ada.get(f"/me/activity?cursor={first['next_cursor']}").json

    told = [(deed["action"], deed["outcome"]) for deed in first["items"] + rest["items"]]
    assert told == [
        ("session.login", "success"),
        ("session.login", "invalid_credentials"),
        ("session.login", "success"),
        ("account.register", "success"),
    ]
    assert {deed["address"] for deed in first["items"]} == {"127.0.0.1"}
    for cursor in ("nonsense", "WyJ4Il0", "WyI5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OSJd"):
        assert ada.get(f"/me/activity?cursor={cursor}").status_code == 422


def test_who_is_turned_away_is_written_down(client, ada):
    assert outcome(ada.get("/health/detailed")) == (403, "permission_denied")

    newest = ada.get("/me/activity").json["items"][0]
    assert (newest["action"], newest["outcome"]) == ("access.denied", "permission_denied")
    assert newest["target"] == "GET /health/detailed"
