"""400 messages at four channels while the worker is killed 40 times."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import func, select

from backend.services.chat.domain.sending.states import apply_status
from backend.services.chat.jobs.simulation.providers import (
    SlackSimulator,
    TelegramSimulator,
    TwilioSimulator,
    WhatsAppSimulator,
)
from backend.services.chat.store.tables import Delivery
from tests.databases import database_in
from tests.services.chat.sending.harness import open_harness

ROOT = Path(__file__).parents[4]
KILLS = 40
CONVERSATIONS = 20
MESSAGES = 5
KEYS = {
    "slack": "channel:C{}",
    "telegram": "chat:{}",
    "twilio": "user:+1555000{}",
    "whatsapp": "user:1555000{}",
}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_workers_send_no_message_twice_and_lose_none(tmp_path, capsys):
    url = database_in(tmp_path, "chat")
    with ExitStack() as stack:
        classes = (SlackSimulator, TelegramSimulator, TwilioSimulator, WhatsAppSimulator)
        simulators = [stack.enter_context(simulator()) for simulator in classes]
        harness = stack.enter_context(
            open_harness(url, *simulators, clock=lambda: datetime.now(UTC))
        )
        texts = {}
        for simulator in simulators:
            simulator.latency_seconds = 0.04
            account_id = harness.add_account(simulator)
            if simulator.channel == "whatsapp":
                simulator.on_stored = lambda message, account=account_id: _report(
                    harness, account, message
                )
            for number in range(CONVERSATIONS):
                key = KEYS[simulator.channel].format(number + 10)
                conversation_id = harness.add_conversation(account_id, key)
                for index in range(MESSAGES):
                    text = f"{simulator.channel} {number} {index}"
                    texts[text] = harness.send(conversation_id, text)

        hosts = json.dumps([simulator.host for simulator in simulators])
        for kill in range(KILLS):
            target = _count_received(simulators) + 3 + kill % 5
            worker = _start_worker(url, hosts)
            _wait_until(partial(_has_received, simulators, target), 20)
            # At any step of the attempts in progress.
            time.sleep(kill % 9 * 0.005)
            worker.send_signal(signal.SIGKILL)
            worker.wait()
        worker = _start_worker(url, hosts)
        try:
            _wait_until_settled(harness, 300)
        finally:
            worker.kill()
            worker.wait()

        table = _summarize(harness, simulators, texts)
        looked_up = sum(
            request.method == "GET" for simulator in simulators for request in simulator.requests
        )
    with capsys.disabled():
        print(f"\n{KILLS} kills, {looked_up} look-ups")  # noqa: T201
        for channel, counts in table.items():
            print(f"{channel:10}", dict(counts))  # noqa: T201
    for channel, counts in table.items():
        assert counts["twice"] == 0
        assert counts["lost"] == 0
        assert counts["out of order"] == 0
        if channel in {"slack", "twilio"}:
            assert counts["sent once"] == CONVERSATIONS * MESSAGES


def _start_worker(url, hosts):
    command = [sys.executable, "-m", "tests.services.chat.sending.kill_worker", url, hosts]
    return subprocess.Popen(command, cwd=ROOT)


def _report(harness, account_id, message):
    with harness.database.write() as session:
        apply_status(
            session,
            harness.log,
            account_id,
            "sent",
            harness.clock(),
            ref=message.ref,
            external_id=message.id,
        )


def _count_received(simulators):
    return sum(len(simulator.messages) for simulator in simulators)


def _has_received(simulators, number):
    return _count_received(simulators) >= number


def _wait_until(is_true, seconds):
    end = time.monotonic() + seconds
    while not is_true() and time.monotonic() < end:
        time.sleep(0.002)


def _wait_until_settled(harness, seconds):
    waiting = Delivery.state.in_(("queued", "sending")) | Delivery.next_attempt_at.is_not(None)

    def is_settled():
        time.sleep(0.5)
        with harness.database.read() as session:
            return not session.scalar(select(func.count()).select_from(Delivery).where(waiting))

    _wait_until(is_settled, seconds)


def _summarize(harness, simulators, texts):
    table = {}
    for simulator in simulators:
        received = Counter(message.text for message in simulator.messages)
        counts = Counter()
        for text, message_id in texts.items():
            if not text.startswith(simulator.channel):
                continue
            state, number = harness.get_message(message_id).state, received[text]
            if number > 1:
                counts["twice"] += 1
            elif state == "sent" and number == 1:
                counts["sent once"] += 1
            elif state == "unknown":
                counts[f"unknown, {'sent' if number else 'not sent'}"] += 1
            else:
                counts["lost"] += 1
        orders = {}
        for message in simulator.messages:
            orders.setdefault(message.to, []).append(int(message.text.split()[-1]))
        counts["out of order"] = sum(order != sorted(order) for order in orders.values())
        table[simulator.channel] = counts
    return table
