"""The command `simulate`: run provider simulators against a running suite, and print outcomes.

It creates an account at each simulator, sends webhooks to the gateway, queues messages with faults
at the provider, and compares what the suite's worker made of them. The simulators have private
addresses, so the suite must be started with the CHAT_PRIVATE_HOSTS that the command prints.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Final

import urllib3

from backend.chassis.database.sessions import Database
from backend.security.outbound import AllowedHost, OutboundBlocked, OutboundPolicy
from backend.services.chat.domain.message_log import MessageLog
from backend.services.chat.domain.new_messages import NewMessage
from backend.services.chat.jobs.simulation.cases import (
    LONG_TEXT,
    OUTBOUND_CASES,
    STATUS_CHANNELS,
    OutboundCase,
)
from backend.services.chat.jobs.simulation.providers import SIMULATORS
from backend.services.chat.jobs.simulation.server import Fault, Simulator, StoredMessage
from backend.services.chat.jobs.simulation.webhooks import (
    Webhook,
    build_message,
    build_status,
    get_key,
)
from backend.services.chat.store import simulation as store

_FIRST_PORT: Final = 8181
_TIMEOUT_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.5
_LONG_CASE: Final = "parts in order"


class GatewayUnreachable(Exception):
    """The gateway does not respond."""


class SignatureRejected(Exception):
    """The suite rejects the signature of a simulated webhook."""


PostWebhook = Callable[[str, str, Webhook], int]
"""Send a webhook of a channel to an account. Returns the status of the response."""


@dataclass(frozen=True, slots=True)
class RunningSuite:
    """The tables of the suite, and how its gateway is reached.

    *seal* encrypts credentials. *public_url* is what providers sign.
    """

    database: Database
    message_log: MessageLog
    seal: Callable[[str], str]
    now: Callable[[], datetime]
    private_hosts: Sequence[AllowedHost]
    public_url: str
    gateway_url: str


@dataclass(frozen=True, slots=True)
class CaseResult:
    """The outcome of one case at one channel."""

    channel: str
    case: str
    outcome: str
    expected: str

    @property
    def is_expected(self) -> bool:
        return self.outcome == self.expected


def main(arguments: Sequence[str], open_suite: Callable[[], RunningSuite]) -> int:
    """Run the command. Returns 1 if an outcome differs from the expected one."""
    parser = argparse.ArgumentParser(prog="python -m backend.services.chat simulate")
    parser.add_argument(
        "--tenant", default="default", help="id of the accounts' tenant, as in GET /auth/me"
    )
    parser.add_argument("--channel", action="append", choices=sorted(SIMULATORS), default=[])
    parser.add_argument("--port", type=int, default=_FIRST_PORT, help="port of the first simulator")
    parser.add_argument("--keep", action="store_true", help="keep the accounts and serve on")
    options = parser.parse_args(arguments)
    channels = options.channel or sorted(SIMULATORS)
    suite = open_suite()
    with ExitStack() as stack:
        try:
            simulators = [
                stack.enter_context(SIMULATORS[channel](port=options.port + number))
                for number, channel in enumerate(channels)
            ]
        except (OSError, OverflowError) as error:
            last = options.port + len(channels) - 1
            sys.stderr.write(
                f"The simulators need the ports {options.port} to {last}: {error}. "
                "Choose others with --port.\n"
            )
            return 1
        missing = [item.host for item in simulators if not _is_allowed(suite, item)]
        if missing:
            hosts = ",".join(simulator.host for simulator in simulators)
            sys.stderr.write(f"Start the suite and this command with CHAT_PRIVATE_HOSTS={hosts}\n")
            return 1
        post = _create_poster(suite.gateway_url)
        simulation = Simulation(suite, options.tenant, simulators, post)
        try:
            results = simulation.run()
            print_results(results)
            if options.keep:
                sys.stdout.write("The simulators serve until Ctrl+C.\n")
                simulation.wait_for_interrupt()
        except (GatewayUnreachable, SignatureRejected) as error:
            sys.stderr.write(f"{error}\n")
            return 1
        finally:
            if not options.keep:
                simulation.delete_accounts()
    return 0 if all(result.is_expected for result in results) else 1


def _is_allowed(suite: RunningSuite, simulator: Simulator) -> bool:
    try:
        OutboundPolicy(suite.private_hosts).check_url(simulator.url)
    except OutboundBlocked:
        return False
    return True


def _create_poster(gateway_url: str) -> PostWebhook:
    pool = urllib3.PoolManager(retries=False, timeout=10.0)

    def post(channel: str, account_id: str, webhook: Webhook) -> int:
        url = f"{gateway_url}/webhook/{channel}/{account_id}"
        headers = dict(webhook.headers)
        try:
            return pool.request("POST", url, body=webhook.body, headers=headers).status
        except urllib3.exceptions.HTTPError as error:
            raise GatewayUnreachable(
                f"The gateway does not respond at {gateway_url}: start the suite, or set "
                "GATEWAY_SERVICE_URL to its address."
            ) from error

    return post


def print_results(results: Sequence[CaseResult]) -> None:
    """Print one line for each channel and case."""
    widths = [
        max(len(text) for text in column)
        for column in zip(
            *((item.channel, item.case, item.outcome) for item in results), strict=True
        )
    ]
    for item in results:
        cells = zip((item.channel, item.case, item.outcome), widths, strict=True)
        verdict = "ok" if item.is_expected else f"expected {item.expected}"
        sys.stdout.write("  ".join(f"{text:{width}}" for text, width in cells) + f"  {verdict}\n")
    wrong = sum(not item.is_expected for item in results)
    sys.stdout.write(f"{len(results) - wrong} of {len(results)} outcomes are as expected.\n")


@dataclass(slots=True)
class _Channel:
    """A simulator with its account, and the messages of the cases by their name."""

    simulator: Simulator
    account_id: str
    webhook_url: str
    people: int = 0
    messages: dict[str, str] = field(default_factory=dict)


class Simulation:
    """Runs all cases at all simulators at the same time.

    Args:
        post: sends a webhook to the suite.
        timeout_seconds: time in which all outcomes must be reached.
    """

    def __init__(
        self,
        suite: RunningSuite,
        tenant_id: str,
        simulators: Sequence[Simulator],
        post: PostWebhook,
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> None:
        self._suite = suite
        self._tenant_id = tenant_id
        self._post = post
        self._timeout_seconds = timeout_seconds
        self._channels = [self._open_channel(simulator) for simulator in simulators]

    def run(self) -> list[CaseResult]:
        """Run the cases and return their outcomes, by channel.

        Raises:
            GatewayUnreachable, SignatureRejected: the settings of the command are not the suite's.
        """
        results = [result for item in self._channels for result in self._run_inbound(item)]
        for item in self._channels:
            for case in OUTBOUND_CASES:
                item.simulator.plan(*case.faults, text=case.text)
                self._send(item, case.name, f"Hello, {case.text}")
            item.simulator.plan(Fault("rate_limited", retry_after=2), text="part-1.")
            self._send(item, _LONG_CASE, LONG_TEXT)
        self._wait(self._are_cases_settled)
        for item in self._channels:
            results += [self._read_case(item, case) for case in OUTBOUND_CASES]
            results.append(self._read_parts(item))
        results += self._run_statuses()
        results += self._run_revocation()
        return sorted(results, key=lambda result: result.channel)

    def delete_accounts(self) -> None:
        """Delete the accounts with their conversations."""
        with self._suite.database.write(self._tenant_id) as session:
            for item in self._channels:
                store.delete_account(session, item.account_id)

    def wait_for_interrupt(self) -> None:
        """Block until Ctrl+C."""
        try:
            while True:
                time.sleep(60)
        except KeyboardInterrupt:
            return

    def _open_channel(self, simulator: Simulator) -> _Channel:
        sealed = self._suite.seal(json.dumps(simulator.get_credentials()))
        with self._suite.database.write(self._tenant_id) as session:
            account_id = store.add_account(
                session,
                self._tenant_id,
                simulator.channel,
                simulator.get_settings(),
                sealed,
                self._suite.now(),
            )
        url = f"{self._suite.public_url}/webhook/{simulator.channel}/{account_id}"
        item = _Channel(simulator, account_id, url)
        # The simulator's thread reports each accepted message, as its provider does.
        simulator.on_stored = lambda message: self._report(item, message, "sent")
        return item

    def _report(self, item: _Channel, message: StoredMessage, status: str) -> None:
        webhook = build_status(item.simulator, item.webhook_url, message, status)
        if webhook is not None:
            self._post(item.simulator.channel, item.account_id, webhook)

    def _run_inbound(self, item: _Channel) -> Iterator[CaseResult]:
        """Send a message, the same again, and a forged one."""
        item.people += 1
        channel = item.simulator.channel
        webhook = build_message(item.simulator, item.webhook_url, item.people, "Hello")
        statuses = [self._post(channel, item.account_id, webhook) for _ in range(2)]
        if statuses[0] == HTTPStatus.UNAUTHORIZED:
            raise SignatureRejected(
                f"The suite rejects the signature of the channel {channel}. Providers sign the URL "
                f"{item.webhook_url}: start this command with the suite's values of "
                "CHAT_PUBLIC_URL or PUBLIC_URL, and of SECRET_KEY."
            )
        with self._suite.database.write(self._tenant_id) as session:
            key = get_key(item.simulator, item.people)
            conversation = store.find_conversation(session, item.account_id, key)
            count = 0
            if conversation is not None:
                store.silence_agent(session, conversation.id, self._suite.now())
                count = store.count_inbound(session, conversation.id)
        outcome = f"{statuses[0]} {statuses[1]} stored x{count}"
        yield CaseResult(channel, "same webhook twice", outcome, "200 200 stored x1")
        forged = Webhook(webhook.body + b" ", webhook.headers)
        if channel in {"telegram", "teams"}:  # their tokens do not depend on the body
            name = {"telegram": "X-Telegram-Bot-Api-Secret-Token", "teams": "Authorization"}[
                channel
            ]
            forged = Webhook(webhook.body, {**webhook.headers, name: "forged"})
        status = self._post(channel, item.account_id, forged)
        yield CaseResult(channel, "forged webhook", str(status), "401")

    def _send(self, item: _Channel, name: str, text: str) -> None:
        """Open a conversation by a webhook, and queue a message in it."""
        item.people += 1
        webhook = build_message(item.simulator, item.webhook_url, item.people, "Hello")
        self._post(item.simulator.channel, item.account_id, webhook)
        key = get_key(item.simulator, item.people)
        with self._suite.database.write(self._tenant_id) as session:
            conversation = store.find_conversation(session, item.account_id, key)
            if conversation is None:
                return
            store.silence_agent(session, conversation.id, self._suite.now())
            new = NewMessage("outbound", "system", {"type": "text", "text": text})
            message, _ = self._suite.message_log.add_message(session, conversation, new)
            item.messages[name] = message.id

    def _are_cases_settled(self) -> bool:
        return all(
            self._read_case(item, case).is_expected
            for item in self._channels
            for case in OUTBOUND_CASES
        ) and all(self._read_parts(item).is_expected for item in self._channels)

    def _read_case(self, item: _Channel, case: OutboundCase) -> CaseResult:
        channel = item.simulator.channel
        count = sum(case.text in message.text for message in list(item.simulator.messages))
        outcome = f"{self._get_state(item, case.name)} x{count}"
        return CaseResult(channel, case.name, outcome, case.get_expected(channel))

    def _read_parts(self, item: _Channel) -> CaseResult:
        texts = [message.text for message in list(item.simulator.messages)]
        numbers = [number for text in texts for number in range(1, 19) if f"part-{number}." in text]
        order = "in order" if numbers == list(range(1, 19)) else str(numbers)
        outcome = f"{self._get_state(item, _LONG_CASE)} {order}"
        return CaseResult(item.simulator.channel, _LONG_CASE, outcome, "sent in order")

    def _get_state(self, item: _Channel, name: str) -> str:
        message_id = item.messages.get(name)
        if message_id is None:
            return "no conversation"
        with self._suite.database.read(self._tenant_id) as session:
            return store.get_message_state(session, message_id)

    def _run_statuses(self) -> Iterator[CaseResult]:
        """Report a message as delivered, delivered again, and late as sent."""
        case = OUTBOUND_CASES[0]
        for item in self._channels:
            if item.simulator.channel not in STATUS_CHANNELS:
                continue
            found = [m for m in item.simulator.messages if case.text in m.text]
            for status in ("delivered", "delivered", "sent"):
                for message in found[:1]:
                    self._report(item, message, status)
            outcome = self._get_state(item, case.name)
            yield CaseResult(
                item.simulator.channel, "doubled and late statuses", outcome, "delivered"
            )

    def _run_revocation(self) -> Iterator[CaseResult]:
        """Revoke the token, and accept it again."""
        name = "token revoked"
        for item in self._channels:
            item.simulator.is_revoked = True
            self._send(item, name, "Hello, case-token-revoked")
        self._wait(
            lambda: all(self._get_account_state(item) != "active" for item in self._channels)
        )
        states = [
            f"{self._get_account_state(i)}, {self._get_state(i, name)}" for i in self._channels
        ]
        for item in self._channels:
            item.simulator.is_revoked = False
            with self._suite.database.write(self._tenant_id) as session:
                store.activate_account(session, item.account_id)
        self._wait(lambda: all(self._get_state(i, name) == "sent" for i in self._channels))
        for item, state in zip(self._channels, states, strict=True):
            outcome = f"{state}, then {self._get_state(item, name)}"
            expected = "revoked, queued, then sent"
            yield CaseResult(item.simulator.channel, name, outcome, expected)

    def _get_account_state(self, item: _Channel) -> str:
        with self._suite.database.read(self._tenant_id) as session:
            return store.get_account_state(session, item.account_id)

    def _wait(self, is_done: Callable[[], bool]) -> None:
        end = time.monotonic() + self._timeout_seconds
        while not is_done() and time.monotonic() < end:
            time.sleep(_POLL_SECONDS)
