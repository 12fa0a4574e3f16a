"""The command `simulate`, with the receiver and the worker's jobs in this process."""

import json
import threading
from datetime import UTC, datetime
from urllib.parse import urlsplit

import jwt
import pytest

from backend.chassis.encryption import Encryptor
from backend.security.outbound import AllowedHost
from backend.services.chat.clients.provider_http import ProviderHttp
from backend.services.chat.clients.registry import create_channel_clients
from backend.services.chat.clients.teams_keys import TeamsKeys
from backend.services.chat.domain.sending.engine import DeliveryEngine
from backend.services.chat.domain.webhooks.reception import WebhookReceiver
from backend.services.chat.domain.webhooks.requests import WebhookRequest
from backend.services.chat.domain.webhooks.teams_tokens import TeamsTokens
from backend.services.chat.domain.webhooks.verification import WebhookVerifier
from backend.services.chat.errors import WebhookRejected
from backend.services.chat.jobs.simulate import (
    RunningSuite,
    SignatureRejected,
    Simulation,
    main,
    print_results,
)
from backend.services.chat.jobs.simulation.providers import SIMULATORS
from backend.services.chat.jobs.simulation.webhooks import build_message
from tests.databases import database_in
from tests.servers import free_port
from tests.services.chat.sending.harness import TENANT, Harness

PUBLIC_URL = "https://chat.example"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_case_has_the_expected_outcome_at_every_channel(tmp_path, capsys):
    simulators = [SIMULATORS[channel]() for channel in sorted(SIMULATORS)]
    for simulator in simulators:
        simulator.__enter__()
    hosts = [AllowedHost.parse(simulator.host) for simulator in simulators]
    harness = Harness(database_in(tmp_path, "chat"), simulators, lambda: datetime.now(UTC))
    encryptor = Encryptor("a secret of the tests, long enough", "chat/secrets")
    http = ProviderHttp(hosts, timeout_seconds=5)
    engine = DeliveryEngine(
        harness.database,
        create_channel_clients(http),
        harness.log,
        lambda sealed: json.loads(encryptor.decrypt_text(sealed)),
        harness._load_file,
        PUBLIC_URL,
        harness.clock,
    )
    tokens = TeamsTokens(TeamsKeys(http), hosts, harness.clock)
    receiver = WebhookReceiver(
        harness.database, encryptor, WebhookVerifier(tokens), harness.log, PUBLIC_URL, harness.clock
    )

    def post(channel, account_id, webhook):
        url = f"{PUBLIC_URL}/webhook/{channel}/{account_id}"
        headers = {name.lower(): value for name, value in webhook.headers.items()}
        now = int(harness.clock().timestamp())
        request = WebhookRequest("POST", url, headers, {}, webhook.body, now)
        try:
            receiver.receive(channel, account_id, request)
        except WebhookRejected as error:
            return error.status
        return 200

    suite = RunningSuite(
        harness.database, harness.log, encryptor.encrypt_text, harness.clock, hosts, PUBLIC_URL, ""
    )
    stopping = threading.Event()

    def work():
        while not stopping.is_set():
            if not engine.run_once():
                stopping.wait(0.1)

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    try:
        results = Simulation(suite, TENANT, simulators, post).run()
    finally:
        stopping.set()
        for worker in workers:
            worker.join()
        for simulator in simulators:
            simulator.__exit__()
        harness.close()

    with capsys.disabled():
        print_results(results)
    assert [item for item in results if not item.is_expected] == []


def test_unreachable_gateway_is_named_in_one_sentence(tmp_path, capsys):
    port, simulator_port = free_port(), free_port()
    gateway_url = f"http://127.0.0.1:{port}"
    harness = Harness(database_in(tmp_path, "chat"), [], lambda: datetime.now(UTC))
    suite = RunningSuite(
        harness.database,
        harness.log,
        str,
        harness.clock,
        [AllowedHost.parse(f"127.0.0.1:{simulator_port}")],
        PUBLIC_URL,
        gateway_url,
    )

    status = main(["--channel", "generic", "--port", str(simulator_port)], lambda: suite)

    assert status == 1
    assert capsys.readouterr().err == (
        f"The gateway does not respond at {gateway_url}: start the suite, or set "
        "GATEWAY_SERVICE_URL to its address.\n"
    )


def test_rejected_signature_ends_the_simulation_with_the_setting_to_change(tmp_path):
    with SIMULATORS["twilio"]() as simulator:
        harness = Harness(database_in(tmp_path, "chat"), [], lambda: datetime.now(UTC))
        hosts = [AllowedHost.parse(simulator.host)]
        suite = RunningSuite(
            harness.database, harness.log, str, harness.clock, hosts, "http://127.0.0.1:5000", ""
        )
        simulation = Simulation(suite, TENANT, [simulator], lambda *_: 401)

        with pytest.raises(SignatureRejected, match="CHAT_PUBLIC_URL or PUBLIC_URL"):
            simulation.run()


def test_port_that_is_in_use_is_named_in_one_sentence(tmp_path, capsys):
    with SIMULATORS["generic"]() as running:
        host, _, port = running.host.partition(":")
        harness = Harness(database_in(tmp_path, "chat"), [], lambda: datetime.now(UTC))
        suite = RunningSuite(
            harness.database,
            harness.log,
            str,
            harness.clock,
            [AllowedHost.parse(f"{host}:{port}")],
            PUBLIC_URL,
            "http://127.0.0.1:1",
        )

        status = main(["--channel", "generic", "--port", port], lambda: suite)

    assert status == 1
    error = capsys.readouterr().err
    assert error.startswith(f"The simulators need the ports {port} to {port}: ")
    assert error.endswith("Choose others with --port.\n")


def test_simulators_of_teams_share_neither_key_ids_nor_the_address_of_their_keys():
    # A suite keeps the keys of an address for a day, and the next simulator has the same port.
    seen = set()
    for _ in range(2):
        with SIMULATORS["teams"]() as simulator:
            webhook = build_message(simulator, "https://chat.example/webhook", 1, "Hello")
            token = dict(webhook.headers)["Authorization"].removeprefix("Bearer ")
            path = urlsplit(simulator.get_settings()["openid_url"]).path
            seen |= {jwt.get_unverified_header(token)["kid"], path}
    assert len(seen) == 4
