"""Webhooks through the gateway of a complete suite: rate, latency, and CPU time of each process.

    python -m benchmarks.chat.suite [--webhooks 3000] [--senders 16] [--rate 300]

The senders are connections of this process. Each sends its next webhook after the response to the
previous one, or with `--rate` when it is due; latency is then measured from that time. The account
has no key for the agent, so that nothing is answered.
"""

import argparse
import json
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sqlalchemy import func, select

from backend.chassis.database.sessions import Database, open_database
from backend.chassis.encryption import Encryptor
from backend.chassis.settings import Env
from backend.services.chat.settings import Settings
from backend.services.chat.store.tables import Account, Message
from benchmarks.chat.loading import TENANT
from benchmarks.chat.webhooks import ACCOUNT, SECRET, build_webhook
from benchmarks.http_senders import send_requests
from tests.suite.conftest import Suite, running_suite

_UNLIMITED: Final = "1000000/minute burst 1000000"
_WARM_UP: Final = 300
_SENDERS: Final = "senders of this benchmark"
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--webhooks", type=int, default=3_000)
    parser.add_argument("--senders", type=int, default=16)
    parser.add_argument("--rate", type=float, help="webhooks a second, of all senders together")
    options = parser.parse_args()
    print(f"The load of the machine is {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs.")
    with (
        tempfile.TemporaryDirectory() as folder,
        running_suite(Path(folder), LLM="embedded", RATE_LIMIT_WEBHOOK=_UNLIMITED) as suite,
    ):
        database = _add_account(suite)
        port = suite.ports["gateway"]
        send_requests(port, _build_requests(range(_WARM_UP)), options.senders)
        requests = _build_requests(range(_WARM_UP, _WARM_UP + options.webhooks))
        before = _read_cpu_seconds(suite)
        started = time.perf_counter()
        times = sorted(send_requests(port, requests, options.senders, options.rate))
        seconds = time.perf_counter() - started
        used = _read_cpu_seconds(suite)
        with database.read(TENANT) as session:
            stored = session.scalar(select(func.count()).select_from(Message))
        database.engine.dispose()
    print(f"{len(times)} webhooks from {options.senders} senders, {len(times) / seconds:.0f}/s")
    print(f"p50 {_get_ms(times, 0.5):.0f} ms, p99 {_get_ms(times, 0.99):.0f} ms")
    print(f"{stored} of {_WARM_UP + options.webhooks} messages are stored")
    spent = {
        name: (total - before.get(name, 0.0)) * 1000 / options.webhooks
        for name, total in used.items()
    }
    print("\n| process | CPU ms for each webhook |\n|---|---|")
    for name, milliseconds in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"| {name} | {milliseconds:.2f} |")
    print(f"| all | {sum(spent.values()):.2f} |")


def _get_ms(times: list[float], share: float) -> float:
    return times[min(len(times) - 1, int(len(times) * share))] * 1000


def _add_account(suite: Suite) -> Database:
    settings = Settings.from_env(Env(suite.environment))
    database = open_database(settings.database_url, "chat")
    encryptor = Encryptor(settings.common.secret_key.reveal(), "chat/secrets")
    now = datetime.now(UTC)
    with database.write(TENANT) as session:
        session.add(
            Account(
                id=ACCOUNT,
                tenant_id=TENANT,
                channel="whatsapp",
                name="Benchmark",
                settings={"phone_number_id": "1"},
                credentials=encryptor.encrypt_text(json.dumps({"app_secret": SECRET})),
                created_at=now,
                updated_at=now,
            )
        )
    return database


def _build_requests(numbers: range) -> list[bytes]:
    return [_build_request(*build_webhook(number)) for number in numbers]


def _build_request(body: bytes, signature: str) -> bytes:
    head = (
        f"POST /webhook/whatsapp/{ACCOUNT} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"X-Hub-Signature-256: {signature}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _read_cpu_seconds(suite: Suite) -> dict[str, float]:
    """Return the CPU time of the suite's processes and of this one by name, so far."""
    main_pid = 0 if suite.process is None else suite.process.pid
    parents, seconds = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # the process has ended
        parents[int(path.parent.name)] = int(fields[1])
        seconds[int(path.parent.name)] = (int(fields[11]) + int(fields[12])) / _TICKS
    totals: dict[str, float] = defaultdict(float, {_SENDERS: time.process_time()})
    for pid in parents:
        if _is_below(pid, main_pid, parents):
            totals[_get_name(pid)] += seconds[pid]
    return totals


def _is_below(pid: int, ancestor: int, parents: Mapping[int, int]) -> bool:
    while pid in parents and pid != ancestor:
        pid = parents[pid]
    return pid == ancestor


def _get_name(pid: int) -> str:
    """Return the service of a process, its module, or its program."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return "other"
    for option in ("serve", "-m"):
        if option in arguments[:-1]:
            name = arguments[arguments.index(option) + 1]
            return name.removeprefix("backend.services.")
    return Path(arguments[0]).name


if __name__ == "__main__":
    main()
