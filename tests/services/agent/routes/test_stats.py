"""Tests of the statistics of conversations, messages and tokens."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from backend.ai.chat_models import ModelAddress
from backend.services.agent.app import create_app
from tests.services.agent.fakes import Reply, WordEmbedder, post_query


class Clock:
    def __init__(self):
        self.time = datetime(2026, 5, 4, 23, 0, tzinfo=UTC)

    def __call__(self):
        return self.time


def test_stats_contain_totals_and_daily_numbers(settings, model, identities):
    clock = Clock()
    address = ModelAddress.for_server("openai", "scripted", f"{model.url}/v1")
    models = replace(settings.models, addresses=[address])
    changed = replace(settings, models=models)
    app = create_app(changed, embedder=WordEmbedder(), now=clock)
    client = identities.trust(app).test_client()
    ada, bob = identities.bearer("user-ada"), identities.bearer("user-bob")
    model.queue_replies(*(Reply(text="So it is.") for _ in range(3)))
    post_query(client, ada, "One?")
    clock.time += timedelta(hours=2)
    post_query(client, bob, "Two?")
    post_query(client, bob, "Three?")

    admin = identities.bearer("user-admin", permissions=["system:read"])
    answer = client.get("/stats?days=3", headers=admin).json
    one_run = {"prompt": 11, "completion": 7, "total": 18}
    two_runs = {"prompt": 22, "completion": 14, "total": 36}
    (model_name,) = answer["days"][1]["models"]

    assert (answer["conversations"], answer["messages"]) == (3, 6)
    assert answer["tokens"] == {"prompt": 33, "completion": 21, "total": 54}
    nothing = {"prompt": 0, "completion": 0, "total": 0}
    assert answer["days"] == [
        {"date": "2026-05-03", "conversations": 0, "messages": 0, "tokens": nothing, "models": {}},
        {"date": "2026-05-04", "conversations": 1, "messages": 2, "tokens": one_run}
        | {"models": {model_name: one_run}},
        {"date": "2026-05-05", "conversations": 2, "messages": 4, "tokens": two_runs}
        | {"models": {model_name: two_runs}},
    ]


def test_stats_require_system_read(client, ada):
    assert client.get("/stats", headers=ada).status_code == 403


def test_user_has_questions_tokens_and_cost_by_day(settings, model, identities):
    clock = Clock()
    address = ModelAddress.for_server("openai", "scripted", f"{model.url}/v1")
    models = replace(settings.models, addresses=[address])
    prices = {"scripted": (10.0, 20.0)}
    changed = replace(settings, models=models, prices=prices)
    app = create_app(changed, embedder=WordEmbedder(), now=clock)
    client = identities.trust(app).test_client()
    ada, bob = (identities.bearer(name, tenant_id="team") for name in ("user-ada", "user-bob"))
    model.queue_replies(*(Reply(text="So it is.") for _ in range(3)))
    post_query(client, ada, "One?")
    clock.time += timedelta(hours=2)
    post_query(client, ada, "Two?")
    post_query(client, bob, "Three?")

    own = client.get("/me/stats?days=2", headers=ada).json
    reader = identities.bearer("user-mia", tenant_id="team", permissions=["users:read"])
    read = client.get("/users/user-ada/stats?days=2", headers=reader).json

    assert read == own
    assert own["last_activity_at"] == "2026-05-05T01:00:00Z"
    one_run = {"prompt": 11, "completion": 7, "total": 18}
    assert own["days"] == [
        {"date": day, "conversations": 1, "questions": 1, "tokens": one_run, "cost": 0.00025}
        for day in ("2026-05-04", "2026-05-05")
    ]
    other = identities.bearer("user-eve", tenant_id="tenant-eve", permissions=["users:read"])
    foreign = client.get("/users/user-ada/stats?days=2", headers=other).json
    assert foreign["last_activity_at"] is None
    assert [day["questions"] for day in foreign["days"]] == [0, 0]
    assert client.get("/users/user-ada/stats", headers=bob).status_code == 403


def test_cost_is_unknown_if_a_model_has_no_price(settings, model, identities):
    address = ModelAddress.for_server("openai", "scripted", f"{model.url}/v1")
    models = replace(settings.models, addresses=[address])
    app = create_app(replace(settings, models=models), embedder=WordEmbedder())
    client = identities.trust(app).test_client()
    ada = identities.bearer("user-ada")
    model.queue_replies(Reply(text="So it is."))
    post_query(client, ada, "One?")

    (day,) = client.get("/me/stats?days=1", headers=ada).json["days"]

    assert (day["cost"], day["questions"]) == (None, 1)
