"""Tests of daily token quotas of users and tenants."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from backend.ai.chat_models import ModelAddress
from backend.security import BUILT_IN_ROLES
from backend.services.agent.app import create_app
from backend.services.agent.domain.quotas import DailyTokenLimits
from backend.services.agent.model import RunLimits
from tests.services.agent.fakes import Reply, WordEmbedder, post_query

TEAM = "tenant-team"
# The scripted model reports 11 prompt and 7 completion tokens for each answer.
TOKENS_PER_ANSWER = 18


class Clock:
    def __init__(self):
        self.time = datetime(2026, 5, 4, 23, 0, tzinfo=UTC)

    def __call__(self):
        return self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def start_agent(settings, model, identities, clock):
    """Return a function that starts an agent with these quotas and returns a client."""

    def start(limits=settings.limits, **quotas):
        address = ModelAddress.for_server("openai", "scripted", f"{model.url}/v1")
        changed = replace(
            settings,
            models=replace(settings.models, addresses=[address]),
            daily_token_limits=DailyTokenLimits(**quotas),
            limits=limits,
        )
        app = create_app(changed, embedder=WordEmbedder(), now=clock)
        return identities.trust(app).test_client()

    return start


def create_team_bearer(identities, user_id, role="user"):
    return identities.bearer(user_id, tenant_id=TEAM, permissions=BUILT_IN_ROLES[role])


def test_usage_is_reported_by_day_and_model(start_agent, model, clock, ada):
    client = start_agent(user=1_000)
    model.queue_replies(Reply(text="One."), Reply(text="Two."), Reply(text="Three."))
    post_query(client, ada, "One?")
    clock.time += timedelta(hours=2)
    post_query(client, ada, "Two?")
    post_query(client, ada, "What is 2 + 2?", model="embedded-lite")

    usage = client.get("/usage", headers=ada).json

    calls = [(item["date"], item["model"], item["calls"]) for item in usage["items"]]
    assert calls == [
        ("2026-05-05", "embedded-lite", 2),
        ("2026-05-05", "scripted", 1),
        ("2026-05-04", "scripted", 1),
    ]
    assert usage["items"][1]["total_tokens"] == TOKENS_PER_ANSWER
    assert usage["user"]["limit"] == 1_000
    assert usage["user"]["remaining"] == 1_000 - usage["user"]["used"]
    assert usage["tenant"] == {"used": usage["user"]["used"], "limit": None, "remaining": None}
    assert usage["resets_at"] == "2026-05-06T00:00:00Z"
    assert client.get("/usage?days=1", headers=ada).json["items"] == usage["items"][:2]


@pytest.mark.parametrize("stream", [False, True])
def test_query_returns_429_until_midnight_after_the_quota_is_used_up(
    start_agent, model, clock, ada, stream
):
    client = start_agent(user=TOKENS_PER_ANSWER)
    model.queue_replies(Reply(text="One."), Reply(text="Two."))
    assert post_query(client, ada, "One?").status_code == 200

    refused = post_query(client, ada, "Two?", stream=stream)

    assert (refused.status_code, refused.json["code"]) == (429, "daily_tokens_used")
    assert refused.headers["Retry-After"] == "3600"
    assert len(client.get("/sessions", headers=ada).json["items"]) == 1
    chat = {"messages": [{"role": "user", "content": "Two?"}]}
    openai = client.post("/v1/chat/completions", json=chat, headers=ada)
    assert (openai.status_code, openai.json["error"]["code"]) == (429, "daily_tokens_used")
    clock.time += timedelta(hours=1)
    assert post_query(client, ada, "Two?").json["response"] == "Two."


def test_tenant_quota_is_shared_and_administrators_see_usage_by_user(
    start_agent, model, identities
):
    client = start_agent(tenant=2 * TOKENS_PER_ANSWER)
    model.queue_replies(*[Reply(text="Well.")] * 3)
    post_query(client, create_team_bearer(identities, "user-ada"), "One?")
    post_query(client, create_team_bearer(identities, "user-bob"), "Two?")

    refused = post_query(client, create_team_bearer(identities, "user-ada"), "Three?")

    assert refused.status_code == 429
    assert "your tenant" in refused.json["detail"]
    assert post_query(client, identities.bearer("user-carl"), "Three?").status_code == 200
    admin = create_team_bearer(identities, "user-eve", "tenant_admin")
    usage = client.get("/usage/tenant", headers=admin).json
    assert [item["user_id"] for item in usage["items"]] == ["user-ada", "user-bob"]
    assert client.get("/usage", headers=admin).json["items"] == []
    assert (
        client.get("/usage/tenant", headers=create_team_bearer(identities, "user-ada")).status_code
        == 403
    )


def test_run_is_limited_to_the_remaining_daily_tokens(start_agent, model, ada):
    client = start_agent(user=100)
    sums = Reply(calls=[("calculate", {"expression": "6 * 7"})])
    model.queue_replies(*[sums] * 8)

    response = post_query(client, ada, "Sums without end")

    assert (response.status_code, response.json["code"]) == (422, "run_limit_reached")
    assert model.requests[0]["max_tokens"] == 100
    assert model.requests[1]["max_tokens"] == 100 - TOKENS_PER_ANSWER
    assert client.get("/usage", headers=ada).json["user"]["used"] <= 100 + TOKENS_PER_ANSWER


SUMS = Reply(calls=[("calculate", {"expression": "6 * 7"})])


@pytest.mark.parametrize(
    ("limits", "reply", "status", "code"),
    [
        pytest.param(RunLimits(max_model_calls=2), SUMS, 422, "run_limit_reached", id="steps"),
        pytest.param(
            RunLimits(max_tokens=2 * TOKENS_PER_ANSWER), SUMS, 422, "run_limit_reached", id="tokens"
        ),
        pytest.param(
            RunLimits(run_timeout=timedelta(seconds=1)),
            Reply(text="one two three four", pause_seconds=0.4),
            504,
            "model_timeout",
            id="seconds",
        ),
    ],
)
def test_exceeded_run_limit_returns_its_error_code(
    start_agent, model, ada, limits, reply, status, code
):
    model.queue_replies(*[reply] * 4)

    response = post_query(start_agent(limits), ada, "Sums without end")

    assert (response.status_code, response.json["code"]) == (status, code)


def test_concurrent_runs_exceed_the_quota_by_at_most_one_run_each(start_agent, model, ada):
    client = start_agent(user=3_000)
    model.queue_replies(*[Reply(text="Well.", delay_seconds=0.3)] * 4)

    def send_request(_):
        return post_query(client.application.test_client(), ada, "Hm?").status_code

    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(pool.map(send_request, range(4)))

    # The first run reserves the tokens of one answer; the others exceed the limit until it ends.
    assert statuses == [200, 429, 429, 429]
    assert post_query(client, ada, "Again?").status_code == 200


def test_incomplete_answer_is_counted_by_its_length(start_agent, model, ada):
    client = start_agent()
    model.queue_replies(Reply(text="Half an answer", disconnects=True))

    assert post_query(client, ada, "Hm?").status_code == 503

    assert client.get("/usage", headers=ada).json["user"]["used"] == 4


def test_completions_with_client_tools_are_counted(start_agent, model, ada):
    client = start_agent(user=50)
    model.queue_replies(Reply(calls=[("client_tool", {})]))
    function = {"name": "client_tool", "description": "", "parameters": {"type": "object"}}
    chat = {"messages": [{"role": "user", "content": "Hm?"}], "max_tokens": 99}
    tools = [{"type": "function", "function": function}]

    client.post("/v1/chat/completions", json=chat | {"tools": tools}, headers=ada)

    assert model.requests[0]["max_tokens"] == 50
    assert client.get("/usage", headers=ada).json["user"]["used"] == TOKENS_PER_ANSWER
