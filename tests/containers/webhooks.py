"""Several people who write to one account of chat, over a provider that sends webhooks twice."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

import urllib3

from backend.security.standard_webhooks import decode_secret, sign_webhook
from tests.containers.suite import ApiClient

_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass(frozen=True, slots=True)
class WebhookSender:
    """Sends signed webhooks to an account of the channel `generic`."""

    url: str
    account: str

    @classmethod
    def create(cls, gateway: str, admin: ApiClient) -> "WebhookSender":
        body = {"channel": "generic", "name": "Shop", "credentials": {"secret": _SECRET}}
        account = admin("POST", "/chat/accounts", json=body)["id"]
        return cls(f"{gateway}/webhook/generic/{account}", account)

    def send_conversations(self, people: int, messages: int) -> None:
        """Send *messages* of each of *people*; all people write at the same time."""
        with (
            urllib3.PoolManager(maxsize=2 * people, timeout=60) as http,
            ThreadPoolExecutor(people) as conversations,
            ThreadPoolExecutor(2 * people) as copies,
        ):

            def write(person: int) -> None:
                for number in range(messages):
                    webhook_id, body = _build_message(person, number)
                    sent = [
                        copies.submit(self._send, http, webhook_id, body) for _ in ("one", "two")
                    ]
                    assert [future.result() for future in sent] == [200, 200]

            list(conversations.map(write, range(people)))

    def sent_texts(self, people: int, messages: int) -> Iterator[list[str]]:
        """Yield the texts of each person in the order of sending."""
        for person in range(people):
            yield [_build_text(person, number) for number in range(messages)]

    def _send(self, http: urllib3.PoolManager, webhook_id: str, body: bytes) -> int:
        headers = sign_webhook(decode_secret(_SECRET), webhook_id, datetime.now(UTC), body)
        headers["Content-Type"] = "application/json"
        return http.request("POST", self.url, body=body, headers=headers).status


def _build_message(person: int, number: int) -> tuple[str, bytes]:
    data = {
        "id": f"m-{person}-{number}",
        "user_id": f"u-{person}",
        "conversation_id": f"c-{person}",
        "content": {"type": "text", "text": _build_text(person, number)},
    }
    message = {"type": "message", "timestamp": datetime.now(UTC).isoformat(), "data": data}
    return f"w-{person}-{number}", json.dumps(message).encode()


def _build_text(person: int, number: int) -> str:
    return f"message {number} of person {person}"
