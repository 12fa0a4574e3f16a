"""Webhooks through the gateway of a complete suite: rate, latency, and CPU time of each process.

    python -m benchmarks.chat.suite [--webhooks 3000] [--senders 16] [--rate 300]
                                    [--workers 1] [--database sqlite|postgresql]
                                    [--kill chat|chat.worker]

The senders are connections of this process. Each sends its next webhook after the response to the
previous one, or with `--rate` when it is due; latency is then measured from that time. The account
has no key for the agent, so that nothing is answered. PostgreSQL is a server in a temporary folder.

With `--kill`, the process gets SIGKILL after a quarter and after half of the webhooks, and webhooks
that are not accepted are sent again.
"""

import argparse
import json
import os
import signal
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
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
from tests.servers import postgres
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
    parser.add_argument("--workers", type=int, default=1, help="processes of the chat service")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--kill", choices=("chat", "chat.worker"), help="process to kill twice")
    options = parser.parse_args()
    print(f"The load of the machine is {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs.")
    with _run_suite(options.database, options.workers) as suite:
        database = _add_account(suite)
        port = suite.ports["gateway"]
        send_requests(port, _build_requests(range(_WARM_UP)), options.senders)
        requests = _build_requests(range(_WARM_UP, _WARM_UP + options.webhooks))
        on_accepted = _create_killer(options.kill, options.webhooks) if options.kill else None
        before = _read_cpu_seconds()
        started = time.perf_counter()
        times = sorted(send_requests(port, requests, options.senders, options.rate, on_accepted))
        seconds = time.perf_counter() - started
        used = _read_cpu_seconds()
        with database.read(TENANT) as session:
            stored = session.scalar(select(func.count()).select_from(Message))
        database.engine.dispose()
    print(f"{len(times)} webhooks from {options.senders} senders, {len(times) / seconds:.0f}/s")
    print(f"p50 {_get_ms(times, 0.5):.0f} ms, p99 {_get_ms(times, 0.99):.0f} ms")
    print(f"{stored} of {_WARM_UP + options.webhooks} messages are stored")
    if options.kill:
        return  # the CPU time of killed processes is lost
    spent = {
        name: (total - before.get(name, 0.0)) * 1000 / options.webhooks
        for name, total in used.items()
    }
    print("\n| process | CPU ms for each webhook |\n|---|---|")
    for name, milliseconds in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"| {name} | {milliseconds:.2f} |")
    print(f"| all | {sum(spent.values()):.2f} |")


@contextmanager
def _run_suite(kind: str, workers: int) -> Iterator[Suite]:
    """Run a suite with a database of this *kind* in a temporary folder."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        variables = {
            "LLM": "embedded",
            "RATE_LIMIT_WEBHOOK": _UNLIMITED,
            "CHAT_SERVICE_WORKERS": str(workers),
        }
        if kind == "postgresql":
            folder.chmod(0o755)  # the server runs as another user than root
            data = folder / "postgresql"
            data.mkdir(mode=0o777)
            data.chmod(0o777)
            server = stack.enter_context(postgres(data, extra_settings={"fsync": "on"}))
            variables["DATABASE_URL"] = server.database()
        yield stack.enter_context(running_suite(folder, **variables))


def _create_killer(name: str, webhooks: int) -> Callable[[int], None]:
    """Return a function that kills the process *name* after a quarter and half of *webhooks*."""

    def kill(accepted: int) -> None:
        if accepted not in (webhooks // 4, webhooks // 2):
            return
        victims = [pid for pid in _list_processes() if _get_name(pid) == name]
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        print(f"after {accepted} webhooks, {len(victims)} process of {name} was killed")

    return kill


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


def _read_cpu_seconds() -> dict[str, float]:
    """Return the CPU time of this process and of all below it by name, so far."""
    totals: dict[str, float] = defaultdict(float, {_SENDERS: time.process_time()})
    for pid, seconds in _list_processes().items():
        totals[_get_name(pid)] += seconds
    return totals


def _list_processes() -> dict[int, float]:
    """Return the processes below this one with their CPU seconds."""
    parents, seconds = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # the process has ended
        parents[int(path.parent.name)] = int(fields[1])
        seconds[int(path.parent.name)] = (int(fields[11]) + int(fields[12])) / _TICKS
    own = os.getpid()
    return {pid: seconds[pid] for pid in parents if pid != own and _is_below(pid, own, parents)}


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
    # The processes of PostgreSQL add what they do to their name.
    return Path(arguments[0].partition(":")[0]).name


if __name__ == "__main__":
    main()
