"""Signals of changes between processes."""

from backend.security.redis import redis_key
from backend.services.chat.clients.change_signals import RedisSignals
from tests.servers import wait_until


def test_changes_of_one_commit_reach_another_process_in_one_message(valkey):
    own, received = [], []
    sender = RedisSignals(valkey.url, lambda name, *_: own.append(name))
    receiver = RedisSignals(valkey.url, lambda *signal: received.append(signal))
    messages = valkey.client.pubsub(ignore_subscribe_messages=True)
    messages.subscribe(redis_key("chat", "changes"))
    messages.get_message(timeout=5)

    sender.publish_changes(["conv_1", "conv_2"])
    sender.publish_event("tenant", "conv_1", "typing", {"actor": "user:ada"})

    for _ in range(2):
        receiver.receive_message(messages.get_message(timeout=5)["data"])
    assert own == ["conv_1", "conv_2", "conv_1"]
    assert received == [
        ("conv_1", None, {}),
        ("conv_2", None, {}),
        ("conv_1", "typing", {"actor": "user:ada"}),
    ]
    messages.close()


def test_malformed_signal_does_not_end_the_reception(valkey):
    received = []
    receiver = RedisSignals(valkey.url, lambda *signal: received.append(signal))
    receiver.start()
    channel = redis_key("chat", "changes")
    wait_until(lambda: valkey.client.pubsub_numsub(channel)[0][1])

    valkey.client.publish(channel, "process conv_1 no JSON")

    wait_until(lambda: valkey.client.publish(channel, "process conv_2") and received)
    assert received[0] == ("conv_2", None, {})
    receiver.stop()
