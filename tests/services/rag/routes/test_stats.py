"""Statistics of all tenants."""

from tests.services.rag.conftest import ApiUser


def test_stats_count_all_tenants_in_total_and_by_day(start_app, identities):
    app = start_app(identities)
    ada, bob = (ApiUser(app, identities.bearer(name)) for name in ("user-ada", "user-bob"))
    admin = ApiUser(app, identities.bearer("user-admin", permissions=["system:read"]))
    empty = admin("GET", "/stats?days=2").json
    ada.upload("One passage about boats.", "boats.txt")
    bob.upload("Another passage, about ships.", "ships.txt")
    bob("POST", "/collections", json={"name": "another"})
    stats = admin("GET", "/stats?days=2").json

    no_documents = {"total": 0, "queued": 0, "processing": 0, "ready": 0, "failed": 0}
    assert (empty["documents"], empty["chunks"], empty["bytes"]) == (no_documents, 0, 0)
    assert stats["documents"] == no_documents | {"total": 2, "ready": 2}
    assert (stats["collections"], stats["chunks"]) == (3, 2)
    assert stats["bytes"] == 24 + 29
    assert sum(day["documents"] for day in stats["days"]) == 2
    assert sum(day["bytes"] for day in stats["days"]) == stats["bytes"]


def test_stats_require_system_read(ada):
    assert ada("GET", "/stats").status_code == 403


def test_user_has_documents_by_day(start_app, identities):
    app = start_app(identities)
    ada, bob = (
        ApiUser(app, identities.bearer(name, tenant_id="team")) for name in ("user-ada", "user-bob")
    )
    permissions = ["users:read"]
    reader = ApiUser(app, identities.bearer("user-mia", tenant_id="team", permissions=permissions))
    ada.upload("One passage about boats.", "boats.txt")
    bob.upload("Another passage, about ships.", "ships.txt")

    own = ada("GET", "/me/stats?days=1").json

    (day,) = own["days"]
    assert (day["documents"], day["bytes"]) == (1, 24)
    assert own["last_activity_at"] is not None
    assert reader("GET", "/users/user-ada/stats?days=1").json == own
    assert bob("GET", "/users/user-ada/stats").status_code == 403
