"""Event streams of conversations: changes in order, resumed, and ephemeral events."""

import json
import threading

from tests.services.chat.test_web_chat import send


class Stream:
    """Reads an event stream in a thread."""

    def __init__(self, app, path, headers):
        self.events = []
        self.changed = threading.Condition()
        self._request = lambda: app.test_client().get(path, headers=headers, buffered=False)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        # The context of a request belongs to one thread.
        for chunk in self._request().response:
            rows = [row for row in chunk.decode().splitlines() if row[:1] not in ("", ":")]
            lines = dict(row.split(": ", 1) for row in rows)
            if lines:
                with self.changed:
                    number = int(lines["id"]) if "id" in lines else None
                    self.events.append((number, lines["event"], json.loads(lines["data"])))
                    self.changed.notify_all()

    def wait_for(self, name, count=1):
        with self.changed:
            assert self.changed.wait_for(
                lambda: sum(event[1] == name for event in self.events) >= count, 5
            ), self.events
            return [event for event in self.events if event[1] == name]


def test_second_client_sees_messages_deltas_typing_and_reading(app, client, ada, colleague):
    conversation_id = send(client, ada).json["conversation_id"]
    path = f"/conversations/{conversation_id}"
    stream = Stream(app, f"{path}/events", ada)
    stream.wait_for("open")

    send(client, ada, "Again", conversation_id=conversation_id)
    client.post(f"{path}/typing", json={"typing": True}, headers=colleague)
    client.put(f"{path}/read", json={"seq": 4}, headers=ada)

    messages = stream.wait_for("message", 2)
    assert [data["content"]["text"] for _, _, data in messages] == ["Again", "You said: Again"]
    assert stream.wait_for("typing")[0][2] == {"actor": "user:user-cleo", "typing": True}
    # The first one is due to the own message.
    assert stream.wait_for("read", 2)[-1][2]["read_seq"] == 4
    assert stream.wait_for("delta")
    numbers = [number for number, _, _ in stream.events if number is not None]
    assert numbers == sorted(numbers)


def test_stream_resumes_after_the_last_received_change(app, client, ada):
    conversation_id = send(client, ada, "One").json["conversation_id"]
    path = f"/conversations/{conversation_id}"
    last = client.get(path, headers=ada).json["change_seq"]
    first_id = client.get(f"{path}/messages", headers=ada).json["items"][0]["id"]
    client.patch(f"{path}/messages/{first_id}", json={"content": "Uno"}, headers=ada)
    send(client, ada, "Two", conversation_id=conversation_id)

    stream = Stream(app, f"{path}/events", ada | {"Last-Event-ID": str(last)})

    texts = [data["content"]["text"] for _, _, data in stream.wait_for("message", 3)]
    assert texts == ["Uno", "Two", "You said: Two"]
    bad = client.get(f"{path}/events", headers=ada | {"Last-Event-ID": "x"})
    assert (bad.status_code, bad.json["code"]) == (400, "invalid_last_event_id")


def test_stream_after_a_future_change_starts_at_the_last_change(app, client, ada):
    conversation_id = send(client, ada, "One").json["conversation_id"]
    path = f"/conversations/{conversation_id}"
    last = client.get(path, headers=ada).json["change_seq"]

    stream = Stream(app, f"{path}/events", ada | {"Last-Event-ID": str(last + 1000)})

    assert stream.wait_for("open") == [(last, "open", {"change_seq": last})]
    send(client, ada, "Two", conversation_id=conversation_id)
    assert stream.wait_for("message")[0][2]["content"]["text"] == "Two"


def test_stream_ends_when_the_conversation_is_deleted(app, client, ada):
    path = f"/conversations/{send(client, ada).json['conversation_id']}"
    stream = Stream(app, f"{path}/events", ada)
    stream.wait_for("open")

    client.delete(path, headers=ada)

    stream.wait_for("deleted")
    stream.thread.join(60)
    assert not stream.thread.is_alive()
