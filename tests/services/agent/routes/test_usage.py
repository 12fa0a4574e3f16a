"""Tokens a day, for users and tenants: counted, shown, and refused when they are used up."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from backend.ai.chat_models import Address
from backend.security import BUILT_IN_ROLES
from backend.services.agent.app import create_app
from backend.services.agent.clients.runs import Limits
from backend.services.agent.domain.quotas import Allowance
from tests.services.agent.stand_ins import Reply, WordEmbedder, ask

TEAM = "tenant-team"
# The scripted model says that each of its answers took 11 and 7.
ONE_ANSWER = 18


class Clock:
    def __init__(self):
        self.time = datetime(2026, 5, 4, 23, 0, tzinfo=UTC)

    def __call__(self):
        return self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def start(settings, model, identities, clock):
    """A client of an agent with this allowance, whose model is scripted."""

    def started(limits=settings.limits, **allowance):
        address = Address.at("openai", "scripted", f"{model.url}/v1")
        changed = replace(
            settings,
            models=replace(settings.models, addresses=[address]),
            allowance=Allowance(**allowance),
            limits=limits,
        )
        app = create_app(changed, embedder=WordEmbedder(), now=clock)
        return identities.trust(app).test_client()

    return started


def team(identities, user_id, role="user"):
    return identities.bearer(user_id, tenant_id=TEAM, permissions=BUILT_IN_ROLES[role])


def test_what_was_used_is_shown_by_day_and_model(start, model, clock, ada):
    client = start(user=1_000)
    model.will(Reply(text="One."), Reply(text="Two."), Reply(text="Three."))
    ask(client, ada, "One?")
    clock.time += timedelta(hours=2)
    ask(client, ada, "Two?")
    ask(client, ada, "What is 2 + 2?", model="embedded-lite")

    shown = client.get("/usage", headers=ada).json

    used = [(each["date"], each["model"], each["calls"]) for each in shown["items"]]
    assert used == [
        ("2026-05-05", "embedded-lite", 2),
        ("2026-05-05", "scripted", 1),
        ("2026-05-04", "scripted", 1),
    ]
    assert shown["items"][1]["total_tokens"] == ONE_ANSWER
    assert shown["user"]["limit"] == 1_000
    assert shown["user"]["remaining"] == 1_000 - shown["user"]["used"]
    assert shown["tenant"] == {"used": shown["user"]["used"], "limit": None, "remaining": None}
    assert shown["resets_at"] == "2026-05-06T00:00:00Z"
    assert client.get("/usage?days=1", headers=ada).json["items"] == shown["items"][:2]


@pytest.mark.parametrize("stream", [False, True])
def test_who_has_used_up_the_day_is_refused_until_midnight(start, model, clock, ada, stream):
    client = start(user=ONE_ANSWER)
    model.will(Reply(text="One."), Reply(text="Two."))
    assert ask(client, ada, "One?").status_code == 200

    refused = ask(client, ada, "Two?", stream=stream)

    assert (refused.status_code, refused.json["code"]) == (429, "daily_tokens_used")
    assert refused.headers["Retry-After"] == "3600"
    assert len(client.get("/sessions", headers=ada).json["items"]) == 1
    chat = {"messages": [{"role": "user", "content": "Two?"}]}
    openai = client.post("/v1/chat/completions", json=chat, headers=ada)
    assert (openai.status_code, openai.json["error"]["code"]) == (429, "daily_tokens_used")
    clock.time += timedelta(hours=1)
    assert ask(client, ada, "Two?").json["response"] == "Two."


def test_a_tenant_shares_its_tokens_and_its_administrators_see_by_whom(start, model, identities):
    client = start(tenant=2 * ONE_ANSWER)
    model.will(*[Reply(text="Well.")] * 3)
    ask(client, team(identities, "user-ada"), "One?")
    ask(client, team(identities, "user-bob"), "Two?")

    refused = ask(client, team(identities, "user-ada"), "Three?")

    assert refused.status_code == 429
    assert "your tenant" in refused.json["detail"]
    assert ask(client, identities.bearer("user-carl"), "Three?").status_code == 200
    admin = team(identities, "user-eve", "tenant_admin")
    shown = client.get("/usage/tenant", headers=admin).json
    assert [each["user_id"] for each in shown["items"]] == ["user-ada", "user-bob"]
    assert client.get("/usage", headers=admin).json["items"] == []
    assert client.get("/usage/tenant", headers=team(identities, "user-ada")).status_code == 403


def test_a_run_is_bounded_by_what_is_left_of_the_day(start, model, ada):
    client = start(user=100)
    sums = Reply(calls=[("calculate", {"expression": "6 * 7"})])
    model.will(*[sums] * 8)

    response = ask(client, ada, "Sums without end")

    assert (response.status_code, response.json["code"]) == (422, "run_limit_reached")
    assert model.requests[0]["max_tokens"] == 100
    assert model.requests[1]["max_tokens"] == 100 - ONE_ANSWER
    assert client.get("/usage", headers=ada).json["user"]["used"] <= 100 + ONE_ANSWER


SUMS = Reply(calls=[("calculate", {"expression": "6 * 7"})])


@pytest.mark.parametrize(
    ("limits", "reply", "status", "code"),
    [
        pytest.param(Limits(model_calls=2), SUMS, 422, "run_limit_reached", id="steps"),
        pytest.param(Limits(tokens=2 * ONE_ANSWER), SUMS, 422, "run_limit_reached", id="tokens"),
        pytest.param(
            Limits(run_time=timedelta(seconds=1)),
            Reply(text="one two three four", pause=0.4),
            504,
            "model_timeout",
            id="seconds",
        ),
    ],
)
def test_each_limit_of_a_run_ends_it_by_its_name(start, model, ada, limits, reply, status, code):
    model.will(*[reply] * 4)

    response = ask(start(limits), ada, "Sums without end")

    assert (response.status_code, response.json["code"]) == (status, code)


def test_runs_at_once_overshoot_by_no_more_than_one_run_each(start, model, ada):
    client = start(user=3_000)
    model.will(*[Reply(text="Well.", stall=0.3)] * 4)

    def asked(_):
        return ask(client.application.test_client(), ada, "Hm?").status_code

    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(pool.map(asked, range(4)))

    # The first reserves what one answer may take; the others wait for it to be settled.
    assert statuses == [200, 429, 429, 429]
    assert ask(client, ada, "Again?").status_code == 200


def test_an_answer_that_was_broken_off_is_counted_by_its_length(start, model, ada):
    client = start()
    model.will(Reply(text="Half an answer", break_off=True))

    assert ask(client, ada, "Hm?").status_code == 503

    assert client.get("/usage", headers=ada).json["user"]["used"] == 4


def test_tools_of_a_clients_own_count_as_well(start, model, ada):
    client = start(user=50)
    model.will(Reply(calls=[("mine", {})]))
    function = {"name": "mine", "description": "", "parameters": {"type": "object"}}
    chat = {"messages": [{"role": "user", "content": "Hm?"}], "max_tokens": 99}
    tools = [{"type": "function", "function": function}]

    client.post("/v1/chat/completions", json=chat | {"tools": tools}, headers=ada)

    assert model.requests[0]["max_tokens"] == 50
    assert client.get("/usage", headers=ada).json["user"]["used"] == ONE_ANSWER
