"""The events of an agent's run as a topic."""

from backend.services.agent.model import Caller
from backend.services.agent.store.events import EventRecord, RedisEventStore

TENANT = "tenant-of-user-ada"


def record_run(valkey, user_id="user-ada"):
    caller = Caller(user_id, TENANT, {})
    recording = RedisEventStore(valkey.url).start_recording("c1", "r1", caller)
    recording.add_records([EventRecord(1, "session", '{"run_id":"r1"}')])
    recording.add_records(
        [EventRecord(2, "token", '{"text":"Hi"}'), EventRecord(3, "done", '{"answer":"Hi"}')]
    )


def test_owner_receives_the_events_of_a_run(start, token, valkey):
    realtime = start(valkey.url)
    with realtime.connect() as client:
        client.authenticate(token)
        client.subscribe("agents:r1")
        record_run(valkey)
        run = [client.receive_data() for _ in range(3)]
        assert [(e["id"], e["type"], e["data"]) for e in run] == [
            ("r1-1", "session", {"run_id": "r1"}),
            ("r1-2", "token", {"text": "Hi"}),
            ("r1-3", "done", {"answer": "Hi"}),
        ]


def test_events_of_a_run_can_be_read_later(start, token, valkey):
    realtime = start(valkey.url)
    record_run(valkey)
    with realtime.connect() as client:
        client.authenticate(token)
        history = client.ask(history={"channel": "agents:r1", "limit": -1})["history"]
        assert [p["data"]["type"] for p in history["publications"]] == ["session", "token", "done"]


def test_other_users_of_the_tenant_do_not_receive_them(start, identities, valkey):
    realtime = start(valkey.url)
    record_run(valkey)
    with realtime.connect() as client:
        client.authenticate(identities.token("user-bob", tenant_id=TENANT))
        history = client.ask(history={"channel": "agents:r1", "limit": -1})["history"]
        assert history["publications"] == []
