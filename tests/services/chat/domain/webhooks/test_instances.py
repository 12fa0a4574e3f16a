"""Three instances receive webhooks while one of them, or a server, is killed with SIGKILL.

A sender repeats a webhook until it is accepted, as providers do, and sends each one twice.
"""

import hmac
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import requests
from sqlalchemy import select

from backend.chassis.database.sessions import open_database
from backend.chassis.encryption import Encryptor
from backend.services.chat.store.base import utc_now
from backend.services.chat.store.tables import Account, Conversation, Message
from tests.servers import free_port, postgres, valkey, wait_until

ROOT = Path(__file__).parents[5]
SECRET_KEY = "a secret key of the tests, long enough"
APP_SECRET = "the secret of the provider"
INSTANCES = 3
CONVERSATIONS = 12
MESSAGES = 12
KILLS = 3
MAX_SECONDS = 120


class Instances:
    """Processes of the service on free ports."""

    def __init__(self, environment, folder):
        self._environment = environment
        self._folder = folder
        self._ports = [free_port() for _ in range(INSTANCES)]
        self._processes = [None] * INSTANCES

    def start(self, index):
        module = "tests.services.chat.domain.webhooks.webhook_instance"
        with (self._folder / f"instance-{index}.log").open("ab") as log:
            self._processes[index] = subprocess.Popen(
                [sys.executable, "-m", module, str(self._ports[index])],
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    def wait_until_ready(self):
        for port in self._ports:
            wait_until(lambda url=f"http://127.0.0.1:{port}/health/live": answers(url), 120)

    def kill(self, index):
        self._processes[index].send_signal(signal.SIGKILL)
        self._processes[index].wait()

    def kill_all(self):
        for index, process in enumerate(self._processes):
            if process is not None:
                self.kill(index)

    def get_url(self, index):
        return f"http://127.0.0.1:{self._ports[index]}/webhook/whatsapp/acc_1"


def answers(url):
    with suppress(requests.RequestException):
        return requests.get(url, timeout=2).status_code == 200
    return False


def build_webhook(conversation, number):
    address = f"1555000{conversation:04d}"
    message = {
        "from": address,
        "id": f"wamid.{conversation}.{number}",
        "timestamp": str(1_800_000_000 + number),
        "type": "text",
        "text": {"body": str(number)},
    }
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550100001", "phone_number_id": "1"},
        "contacts": [{"profile": {"name": address}, "wa_id": address}],
        "messages": [message],
    }
    entry = {"id": "100", "changes": [{"field": "messages", "value": value}]}
    body = json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()
    signature = hmac.new(APP_SECRET.encode(), body, "sha256").hexdigest()
    return body, {"X-Hub-Signature-256": f"sha256={signature}", "Content-Type": "application/json"}


def send_until_accepted(session, instances, body, headers, choose):
    deadline = time.monotonic() + MAX_SECONDS
    while time.monotonic() < deadline:
        with suppress(requests.RequestException):
            url = instances.get_url(choose(INSTANCES))
            if session.post(url, data=body, headers=headers, timeout=15).status_code == 200:
                return
        time.sleep(0.05)
    raise AssertionError("no instance accepted the webhook")


def send_conversation(instances, conversation, failures):
    """Send the messages in order, each of them twice at the same time to random instances."""
    choose = random.Random(conversation).randrange  # noqa: S311
    try:
        with requests.Session() as first, requests.Session() as second:
            for number in range(MESSAGES):
                webhook = build_webhook(conversation, number)
                repeated = threading.Thread(
                    target=send_until_accepted, args=(second, instances, *webhook, choose)
                )
                repeated.start()
                send_until_accepted(first, instances, *webhook, choose)
                repeated.join()
    except AssertionError as error:
        failures.append(error)


def add_account(url):
    database = open_database(url, "chat")
    database.migrate("chat")
    encryptor = Encryptor(SECRET_KEY, "chat/secrets")
    secrets = {"app_secret": APP_SECRET, "access_token": "x", "verify_token": "x"}
    with database.write("t1") as session:
        session.add(
            Account(
                id="acc_1",
                tenant_id="t1",
                channel="whatsapp",
                name="Shop",
                settings={"phone_number_id": "1"},
                credentials=encryptor.encrypt_text(json.dumps(secrets)),
                created_at=utc_now(),
                updated_at=utc_now(),
            )
        )
    return database.across_tenants()


def read_conversations(database):
    """Return the texts of the messages by conversation in the order of `seq`, and all `seq`."""
    with database.read() as session:
        rows = session.execute(
            select(Conversation.key, Message.seq, Message.content)
            .join(Message, Message.conversation_id == Conversation.id)
            .order_by(Conversation.key, Message.seq)
        ).all()
    texts, numbers = {}, {}
    for key, seq, content in rows:
        texts.setdefault(key, []).append(int(content["text"]))
        numbers.setdefault(key, []).append(seq)
    return texts, numbers


class Killer:
    """Kills the victim and starts it again, some times."""

    def __init__(self, victim, instances, stack, folder, servers):
        self._victim = victim
        self._instances = instances
        self._stack = stack
        self._folder = folder
        self._servers = servers

    def kill(self, number):
        if self._victim == "instance":
            self._instances.kill(number % INSTANCES)
            time.sleep(0.3)
            self._instances.start(number % INSTANCES)
        elif self._victim == "valkey":
            self._servers["valkey"].end()
            time.sleep(0.5)
            self._start_valkey(self._servers["valkey"].port)
        else:
            kill_postgres(self._folder / "postgres" / "data")
            time.sleep(0.5)
            port = self._servers["postgres"].port
            self._stack.enter_context(postgres(self._folder / "postgres", port))

    def _start_valkey(self, port):
        server = self._stack.enter_context(valkey(self._folder / "valkey", port))
        self._servers["valkey"] = server


def kill_postgres(data):
    """Kill the server. Its processes end with it, so that the next start recovers the tables."""
    lines = (data / "postmaster.pid").read_text().split()
    os.kill(int(lines[0]), signal.SIGKILL)
    (data / "postmaster.pid").unlink(missing_ok=True)


@contextmanager
def run_service(folder, database_kind):
    """Run three instances with their servers. Yields them, the database, servers and the stack."""
    for name in ("valkey", "postgres", "data"):
        (folder / name).mkdir()
    if os.geteuid() == 0:
        (folder / "postgres").chmod(0o777)
    with ExitStack() as stack:
        servers = {"valkey": stack.enter_context(valkey(folder / "valkey"))}
        if database_kind == "postgresql":
            servers["postgres"] = stack.enter_context(postgres(folder / "postgres"))
            url = servers["postgres"].database()
        else:
            url = f"sqlite:///{folder}/data/chat.db"
        database = add_account(url)
        environment = {
            **os.environ,
            "DATABASE_URL": url,
            "REDIS_URL": servers["valkey"].url,
            "DATA_DIR": str(folder / "data"),
            "SECRET_KEY": SECRET_KEY,
            "LOG_LEVEL": "WARNING",
            "PYTHONPATH": str(ROOT),
        }
        instances = Instances(environment, folder)
        stack.callback(instances.kill_all)
        for index in range(INSTANCES):
            instances.start(index)
        instances.wait_until_ready()
        yield instances, database, servers, stack
        database.engine.dispose()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("database_kind", "victim"),
    [
        ("sqlite", "instance"),
        ("sqlite", "valkey"),
        ("postgresql", "instance"),
        ("postgresql", "valkey"),
        ("postgresql", "postgres"),
    ],
)
def test_three_instances_store_each_message_once_and_in_order_while_one_is_killed(
    tmp_path_factory, database_kind, victim
):
    folder = tmp_path_factory.mktemp(f"{database_kind}-{victim}")
    with run_service(folder, database_kind) as (instances, database, servers, stack):
        failures = []
        senders = [
            threading.Thread(target=send_conversation, args=(instances, number, failures))
            for number in range(CONVERSATIONS)
        ]
        for sender in senders:
            sender.start()
        killer = Killer(victim, instances, stack, folder, servers)
        for number in range(KILLS):
            time.sleep(1.5)
            killer.kill(number)
        for sender in senders:
            sender.join(MAX_SECONDS * 2)

        assert failures == []
        texts, numbers = read_conversations(database)
        expected = list(range(MESSAGES))
        assert texts == {f"user:1555000{n:04d}": expected for n in range(CONVERSATIONS)}
        assert all(seqs == sorted(set(seqs)) for seqs in numbers.values())
