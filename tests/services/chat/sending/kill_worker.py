"""Worker process of `test_kills`: sends deliveries until it is killed."""

import json
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from backend.chassis.database.sessions import open_database
from backend.security.outbound import AllowedHost
from backend.services.chat.clients.provider_http import ProviderHttp
from backend.services.chat.clients.registry import create_channel_clients
from backend.services.chat.domain.message_log import MessageLog
from backend.services.chat.domain.sending.engine import DeliveryEngine

LEASE = timedelta(seconds=4)
_THREADS = 4


class NoSignals:
    def publish_change(self, conversation_id: str) -> None:
        """Ignore the signal."""

    def publish_changes(self, conversation_ids: Sequence[str]) -> None:
        """Ignore the signals."""


def main(url: str, hosts: str) -> None:
    def now() -> datetime:
        return datetime.now(UTC)

    database = open_database(url, "chat").across_tenants()
    http = ProviderHttp([AllowedHost.parse(host) for host in json.loads(hosts)])
    engine = DeliveryEngine(
        database,
        create_channel_clients(http),
        MessageLog(NoSignals(), now),
        lambda sealed: json.loads(sealed or "{}"),
        lambda *_: b"",
        "",
        now,
        lease=LEASE,
    )

    def work() -> None:
        while True:
            if not engine.run_once():
                time.sleep(0.05)

    for _ in range(_THREADS):
        threading.Thread(target=work, daemon=True).start()
    while True:
        time.sleep(1)
        engine.renew_leases()


if __name__ == "__main__":
    main(*sys.argv[1:])
