"""Statistics by day and channel: what they count, and that they stay right after late changes."""

import random
from datetime import date

import pytest
from sqlalchemy import insert

from backend.chassis.daily_counts import Period
from backend.services.chat.clients.metrics import tenant_metrics
from backend.services.chat.domain.stats import TenantStats
from backend.services.chat.jobs.daily_stats import DailyStatsJob
from backend.services.chat.store import accounts, conversations, daily_stats
from backend.services.chat.store.duration_counts import DurationCounts
from backend.services.chat.store.messages import get_message
from backend.services.chat.store.tables import DailyStats, Message
from tests.metrics import wait_for_metrics
from tests.services.chat.conftest import TEAM
from tests.services.chat.history.conftest import FIRST


@pytest.fixture
def get_stats(client, colleague):
    def get(query="days=7"):
        response = client.get(f"/stats?{query}", headers=colleague)
        assert response.status_code == 200, response.text
        return response.json

    return get


def test_figures_of_a_period_by_day_and_channel(chat, clock, get_stats):
    first = chat.open("a")
    chat.write(first)
    clock.advance(seconds=2)
    chat.write(first)
    clock.advance(seconds=8)
    chat.answer(first)
    chat.write(first)
    clock.advance(seconds=30)
    chat.answer(first, "user:cleo")
    chat.answer(first, "user:cleo", is_internal=True)
    chat.change(first, mode="human")
    chat.change(first, status="resolved")
    second = chat.open("b", "help")
    chat.write(second, author="contact:bob")
    clock.advance(days=1)
    failed = chat.answer(second)
    chat.set_state(failed, "failed")

    stats = get_stats("days=2")

    one_day, next_day = stats["days"]
    assert (stats["since"], stats["until"]) == ("2026-03-01", "2026-03-02")
    assert one_day["date"] == "2026-03-01"
    assert one_day["active_users"] == 2
    assert one_day["channels"]["whatsapp"] == {
        "active_users": 1,
        "conversations_opened": 1,
        "conversations_closed": 1,
        "conversations_completed": 1,
        "completion_rate": 1.0,
        "handovers": 1,
        "first_response": {"count": 1, "median_seconds": 10.0, "p95_seconds": 10.0},
        "response": {"count": 2, "median_seconds": 20.0, "p95_seconds": 29.0},
        "messages_in": 3,
        "messages_out": 2,
        "answers": 1,
        "failed": 0,
    }
    assert one_day["completion_rate"] == 0.5
    assert next_day["channels"]["slack"]["failed"] == 1
    assert next_day["channels"]["slack"]["first_response"]["median_seconds"] == 86_400
    assert next_day["completion_rate"] is None
    assert stats["totals"]["messages_in"] == 4
    assert stats["totals"]["active_users"] == 2
    assert stats["channels"]["slack"]["conversations_opened"] == 1
    only = get_stats("days=2&channel=slack")
    assert only["totals"] == stats["channels"]["slack"]
    assert list(only["channels"]) == ["slack"]


def test_user_of_two_days_is_one_active_user_of_the_period(chat, clock, get_stats):
    conversation = chat.open("a")
    for _ in range(2):
        chat.write(conversation)
        clock.advance(days=1)

    stats = get_stats()

    assert [day["active_users"] for day in stats["days"]][-3:] == [1, 1, 0]
    assert stats["totals"]["active_users"] == stats["channels"]["whatsapp"]["active_users"] == 1


def test_figures_are_the_same_before_and_after_they_are_stored(chat, clock, get_stats):
    conversation = chat.open("a")
    chat.write(conversation)
    clock.advance(days=2)
    chat.answer(conversation)
    before = get_stats()

    chat.update.update_all()

    assert chat.list_rows() != []
    assert get_stats() == before


def test_late_changes_correct_the_day_they_concern(chat, clock, get_stats):
    conversation = chat.open("a")
    chat.write(conversation)
    message = chat.answer(conversation)
    clock.advance(days=3)
    chat.update.update_all()

    chat.set_state(message, "failed")
    chat.change(conversation, status="resolved")
    first, last = get_stats("days=4")["days"][0], get_stats("days=4")["days"][-1]
    assert (first["failed"], first["conversations_completed"]) == (1, 1)
    assert (first["conversations_closed"], last["conversations_closed"]) == (0, 1)
    chat.update.update_all()
    assert get_stats("days=4")["days"][0] == first

    chat.change(conversation, status="open")
    assert get_stats("days=4")["days"][0]["conversations_completed"] == 0

    chat.delete(conversation)
    chat.update.update_all()
    assert chat.list_rows() == []
    assert get_stats("days=4")["totals"]["messages_in"] == 0


def test_erased_contact_and_deleted_account_are_no_longer_counted(chat, clock, client, manager):
    with chat.database.write() as session:
        contact = accounts.get_or_create_contact(
            session, TEAM, "shop", [("wa_id", "1")], "Ada", clock()
        )
        contact_id = contact.id
    author = f"contact:{contact_id}"
    chat.write(chat.open("own", contact_id=contact_id), author=author)
    group = chat.open("group", "help")
    chat.write(group, author=author)
    chat.write(group, author="contact:bob")
    clock.advance(days=1)
    chat.update.update_all()

    assert client.delete(f"/contacts/{contact_id}", headers=manager).status_code == 204
    chat.update.update_all()
    assert [(row["account_id"], row["inbound"]) for row in chat.list_rows()] == [
        ("", 1),
        ("help", 1),
    ]

    assert client.delete("/accounts/help", headers=manager).status_code == 204
    chat.update.update_all()
    assert chat.list_rows() == []


def test_soft_deleted_and_edited_messages_stay_counted(chat, clock, get_stats):
    conversation_id = chat.open("a")
    message_id = chat.write(conversation_id)
    clock.advance(days=1)
    chat.update.update_all()

    with chat.database.write() as session:
        conversation = conversations.find_conversation(session, TEAM, conversation_id)
        message = get_message(session, message_id)
        chat.log.edit_message(session, conversation, message, {"type": "text", "text": "y"})
        chat.log.delete_message(session, conversation, message)

    assert get_stats("days=2")["days"][0]["messages_in"] == 1


@pytest.mark.parametrize("seed", range(2))
def test_recount_from_scratch_gives_equal_rows(chat, clock, seed):
    choose = random.Random(seed)  # noqa: S311 - operations of a test
    opened, sent = [], []
    for step in range(100):
        clock.advance(minutes=choose.randint(1, 120))
        action = choose.choice(
            ["open", *["write"] * 4, *["answer"] * 3, "state", "change", "count"]
        )
        if action == "open" or not opened:
            opened.append(chat.open(str(step), choose.choice(["shop", "help"])))
        elif action == "write":
            chat.write(choose.choice(opened), author=f"contact:{choose.randint(1, 5)}")
        elif action == "answer":
            author = choose.choice(["agent", "user:cleo"])
            sent.append(chat.answer(choose.choice(opened), author))
        elif action == "state" and sent:
            chat.set_state(choose.choice(sent), choose.choice(["failed", "delivered"]))
        elif action == "change":
            values = choose.choice(
                [{"status": "resolved"}, {"status": "open"}, {"mode": "human"}, {"mode": "bot"}]
            )
            chat.change(choose.choice(opened), **values)
            if choose.random() < 0.1:
                gone = opened.pop(choose.randrange(len(opened)))
                chat.delete(gone)
                sent = []
        else:
            chat.update.update_all()
    chat.update.update_all()
    rows = chat.list_rows()

    with chat.database.write() as session:
        period = Period(date(2026, 1, 1), date(2026, 12, 31))
        daily_stats.replace_days(session, TEAM, period, [])
    chat.update.count_all_days(TEAM)

    assert rows == chat.list_rows()
    assert len(rows) > 5


def test_job_counts_only_what_changed_and_at_most_once_a_minute(chat, clock):
    job = DailyStatsJob(chat.database, clock)
    assert job.get_next_due_time() is None
    clock.advance(minutes=1)
    conversation = chat.open("a")
    chat.write(conversation)

    assert job.get_next_due_time() <= clock()
    job.run_once()
    assert [row["inbound"] for row in chat.list_rows()] == [1, 1]
    chat.write(conversation)
    job.run_once()
    assert [row["inbound"] for row in chat.list_rows()] == [1, 1]
    clock.advance(minutes=1)
    job.run_once()
    assert [row["inbound"] for row in chat.list_rows()] == [2, 2]
    clock.advance(minutes=2)
    assert job.get_next_due_time() is None


def test_count_that_another_one_has_overtaken_is_not_stored(chat, clock, monkeypatch):
    conversation = chat.open("a")
    chat.write(conversation)
    clock.advance(days=1)
    chat.update.update_all()
    count_days = daily_stats.count_days

    def count_and_change(session, tenant_id, period):
        rows = count_days(session, tenant_id, period)
        monkeypatch.undo()
        chat.delete(conversation)
        return rows

    with chat.database.write() as session:
        daily_stats.mark_days(session, TEAM, [FIRST.date()])
    monkeypatch.setattr(daily_stats, "count_days", count_and_change)
    chat.update.count_changed_days(TEAM)
    assert chat.list_rows() != []

    chat.update.update_all()
    assert chat.list_rows() == []


@pytest.mark.parametrize("query", ["days=0", "days=91", "channel=fax", "until=tomorrow"])
def test_invalid_periods_and_channels_are_rejected(client, colleague, query):
    assert client.get(f"/stats?{query}", headers=colleague).status_code == 422


def test_quantiles_are_interpolated_and_exact_to_half_a_percent():
    counts = DurationCounts()
    assert counts.get_quantile(0.5) is None
    for milliseconds in (1234, 10_000, 20_000, 30_000):
        counts.add(milliseconds)

    assert counts.to_json() == {"1.23": 1, "10": 1, "20": 1, "30": 1}
    assert counts.get_quantile(0.5) == 15
    assert counts.get_quantile(1) == 30
    copy = DurationCounts(counts.to_json())
    copy.add_counts({"1000000": 6})
    assert copy.get_quantile(0.95) == 1_000_000
    assert copy.total == 10


@pytest.mark.parametrize(
    "milliseconds",
    [0, 999, 1000, 1004, 1005, 9994, 9995, 10_049, 99_950, 123_456, 999_500, 86_399_999, 10**11],
)
def test_counts_keep_durations_with_an_error_of_half_a_percent(milliseconds):
    counts = DurationCounts()
    counts.add(milliseconds)

    stored = DurationCounts(counts.to_json()).get_quantile(0.5)
    assert stored * 1000 == pytest.approx(milliseconds, rel=0.005)


@pytest.mark.parametrize("milliseconds", [0, 9995, 10**11])
def test_response_times_are_stored_with_an_error_of_half_a_percent(
    chat, clock, get_stats, milliseconds
):
    conversation = chat.open("a")
    chat.write(conversation)
    message_id = chat.answer(conversation)
    with chat.database.write() as session:
        get_message(session, message_id).response_ms = milliseconds

    times = get_stats("days=1")["totals"]["response"]

    assert times["median_seconds"] * 1000 == pytest.approx(milliseconds, rel=0.005)
    chat.update.update_all()
    assert get_stats("days=1")["totals"]["response"] == times


def test_number_of_rows_that_count_responses_does_not_grow_with_the_messages(chat, monkeypatch):
    conversation = chat.open("a")
    with chat.database.write() as session:
        session.execute(
            insert(Message),
            [
                {
                    "id": f"msg_{number}",
                    "tenant_id": TEAM,
                    "conversation_id": conversation,
                    "seq": number,
                    "change_seq": number,
                    "direction": "outbound",
                    "author": "agent",
                    "content": {"type": "text", "text": "x"},
                    "state": "delivered",
                    "response_ms": 100_000 + number,
                    "sent_at": FIRST,
                    "created_at": FIRST,
                }
                for number in range(2000)
            ],
        )
    rows = []
    monkeypatch.setattr(DurationCounts, "add", lambda self, *row: rows.append(row))

    chat.update.count_all_days(TEAM)

    # 100.0 to 102.0 seconds in steps of one second, for the account and for all accounts.
    assert len(rows) == 3 * 2
    assert sum(count for _, count in rows) == 2000 * 2


def test_metrics_have_a_bounded_number_of_tenants(chat, clock):
    with chat.database.write() as session:
        for number in range(25):
            values = dict.fromkeys(("conversations", "closed", "completed", "outbound"), 0)
            values |= dict.fromkeys(("answers", "handovers", "failures"), 0)
            row = DailyStats(
                tenant_id=f"tenant-{number:02}",
                day=FIRST.date(),
                account_id="",
                channel="",
                active_users=number,
                inbound=number,
                response_times={"2": 1, "4": 1},
                first_response_times={},
                **values,
            )
            session.add(row)

    values = TenantStats(chat.database, clock, 20).get_values()
    families = {family.name: family for family in tenant_metrics(values)}

    users = {
        sample.labels["tenant"]: sample.value for sample in families["chat_active_users"].samples
    }
    assert len(users) == 21
    assert users["tenant-24"] == 24
    assert users["other"] == 0 + 1 + 2 + 3 + 4
    assert ("tenant-24", "0.5", 3.0) in [
        (sample.labels["tenant"], sample.labels["quantile"], sample.value)
        for sample in families["chat_response_seconds"].samples
    ]
    clock.advance(days=1)
    tomorrow = TenantStats(chat.database, clock, 20).get_values()
    assert list(tomorrow) == ["other"]


def test_service_exports_the_metrics_of_the_current_day(chat, client):
    conversation = chat.open("a")
    chat.write(conversation)
    chat.update.update_all()

    wait_for_metrics(
        client,
        f'chat_active_users{{tenant="{TEAM}"}} 1.0',
        f'chat_messages{{direction="inbound",tenant="{TEAM}"}} 1.0',
        'chat_active_users{tenant="other"} 0.0',
    )


def test_user_has_conversations_and_messages_by_day(chat, clock, client, ada, bob, identities):
    client.post("/message?wait=0", json={"content": "Hello"}, headers=ada)
    clock.advance(days=1)
    conversation = chat.open("a")
    chat.answer(conversation, "user:user-ada")
    chat.answer(conversation, "user:user-ada", is_internal=True)
    reader = identities.bearer("user-mia", tenant_id=TEAM, permissions=["users:read"])

    own = client.get("/me/stats?days=2", headers=ada).json

    assert own["days"] == [
        {"date": "2026-03-01", "conversations": 1, "messages": 1},
        {"date": "2026-03-02", "conversations": 0, "messages": 1},
    ]
    assert own["last_activity_at"] == "2026-03-02T12:00:00Z"
    assert client.get("/users/user-ada/stats?days=2", headers=reader).json == own
    assert client.get("/users/user-ada/stats", headers=bob).status_code == 403
