"""What all connections of one worker share: the policy, the pools, the clock, the log."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any

from backend.services.gateway.clients.answers import AnswerReader
from backend.services.gateway.clients.connections import Pool
from backend.services.gateway.clients.counting import Counting
from backend.services.gateway.clients.instances import Instance, Instances
from backend.services.gateway.domain.forwarding import Forwarding
from backend.services.gateway.domain.headers import travels_outward
from backend.services.gateway.domain.paths import BadTarget as NoNormalForm
from backend.services.gateway.domain.paths import normal_form
from backend.services.gateway.domain.retries import RetryBudget
from backend.services.gateway.domain.table import Route
from backend.services.gateway.edge import replies
from backend.services.gateway.edge.ledger import AccessLog, Numbers
from backend.services.gateway.edge.memory import Memory
from backend.services.gateway.edge.requests import RequestLine, read_line
from backend.services.gateway.errors import BadTarget

if TYPE_CHECKING:
    from backend.services.gateway.edge.client import Client

SWEEP_SECONDS = 0.25
_PROBE_SECONDS = 1.0
_VERIFIERS = 4
_FLASK_THREADS = 8
_KNOWN_LINES = 4096
_KNOWN_LINE_BYTES = 256

Wsgi = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class EdgeTerms:
    """What the edge has to know besides the policy."""

    redis_url: str | None
    certificate: Path | None
    certificate_key: Path | None
    drain_seconds: float


class Way:
    """A route with the connections that lead along it."""

    def __init__(
        self, route: Route, instances: Instances, pools: dict[Instance, Pool], budget: RetryBudget
    ) -> None:
        self.route = route
        self.instances = instances
        self.budget = budget
        self._pools = pools

    def pool(self, instance: Instance) -> Pool:
        return self._pools[instance]


class Visit:
    """A request line, understood: where it leads and how it is spoken of."""

    __slots__ = (
        "fare_key",
        "inner",
        "line",
        "onward",
        "path",
        "problem",
        "public",
        "query",
        "shown",
        "way",
    )

    def __init__(self, line: RequestLine) -> None:
        self.line = line
        self.path = ""
        self.query = ""
        self.problem: BadTarget | None = None
        self.way: Way | None = None
        self.inner = ""
        self.onward = ""
        self.public = False
        self.shown = ""
        self.fare_key = ""


class Carrier:
    """Carries what *forwarding* lets through; hands the rest to the Flask app *wsgi*."""

    def __init__(
        self,
        wsgi: Wsgi,
        forwarding: Forwarding,
        redis_url: str | None,
        loop: asyncio.AbstractEventLoop,
        *,
        log: AccessLog | None = None,
        secure: bool = False,
    ) -> None:
        self.wsgi = wsgi
        self.forwarding = forwarding
        self.table = forwarding.table
        self.trusted = forwarding.trusted
        self.cross_origin = forwarding.cross_origin
        self.traffic = forwarding.traffic
        self.loop = loop
        self.scheme = "https" if secure else "http"
        self.numbers = Numbers(log or AccessLog())
        self.tell_others: Callable[[], None] | None = None
        """Writes the numbers where the service's other workers find them."""
        self.counting = Counting(redis_url, loop)
        self.flask_threads = ThreadPoolExecutor(_FLASK_THREADS, "flask")
        self._verifiers = ThreadPoolExecutor(_VERIFIERS, "verify")
        self.memory = Memory(forwarding.callers, self._verifiers, loop)
        self.clients: set[Client] = set()
        self.draining = False
        self.now = loop.time()
        """The time by the last sweep: near enough for limits of seconds, and free."""
        self.visits: dict[bytes, Visit] = {}
        self.in_flask = 0
        self.sockets_of: dict[str, int] = {}
        self._stopped = False
        self._ids = 0
        self._id_prefix = os.urandom(8).hex()
        self._date = (0, "")
        self._pools: dict[Instance, Pool] = {}
        self._reader = AnswerReader(travels_outward, replies.PROTECTIVE_BITS)
        self._ways = self._make_ways()
        self._probing: set[Instance] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def _make_ways(self) -> dict[str, Way]:
        budgets: dict[int, RetryBudget] = {}
        ways = {}
        for route in self.table.routes:
            instances = self.forwarding.instances[route.name]
            if id(instances) not in budgets:
                budgets[id(instances)] = RetryBudget()
                self.numbers.instances.append(instances)
                self._open_pools(instances)
            ways[route.name] = Way(route, instances, self._pools, budgets[id(instances)])
        return ways

    def _open_pools(self, instances: Instances) -> None:
        for each in instances.all:
            if each not in self._pools:
                self._pools[each] = Pool(each, self._reader, self.loop)

    def _follow(self) -> None:
        """Open pools to instances that came, and close those to instances that have gone."""
        changed = [group for group in self.numbers.instances if group.follow()]
        if not changed:
            return
        for group in changed:
            self._open_pools(group)
        present = {each for group in self.numbers.instances for each in group.all}
        for gone in self._pools.keys() - present:
            # What is under way there goes on to its end.
            self._pools.pop(gone).close()

    def visit(self, raw: bytes) -> Visit:
        """What the request line *raw* asks for; BadRequest if it is none."""
        visit = Visit(read_line(raw))
        target = visit.line.target
        if target != "*":
            try:
                visit.path, visit.query = normal_form(target)
            except NoNormalForm as error:
                visit.problem = BadTarget(str(error))
                return visit
            self._find_way(visit)
        if len(raw) <= _KNOWN_LINE_BYTES:
            if len(self.visits) >= _KNOWN_LINES:
                self.visits.clear()
            self.visits[raw] = visit
        return visit

    def _find_way(self, visit: Visit) -> None:
        found = self.table.find(visit.path)
        if found is None or found[0].is_closed(found[1]):
            return
        route, visit.inner = found
        visit.way = self._ways[route.name]
        visit.public = route.is_public(visit.inner)
        visit.onward = f" {visit.inner}{visit.query} HTTP/1.1\r\nHost: "
        visit.shown = route.prefix + visit.inner[len(route.onto) :]
        singled_out = visit.inner in route.singled_out
        visit.fare_key = route.name + visit.inner if singled_out else route.name

    def new_id(self) -> str:
        """A request id: unique, short to make, and nothing that anyone could rely on."""
        self._ids += 1
        return f"{self._id_prefix}{self._ids:x}"

    def date(self) -> str:
        """The header field Date, made once a second."""
        now = int(time())
        if now != self._date[0]:
            self._date = (now, f"Date: {formatdate(now, usegmt=True)}\r\n")
        return self._date[1]

    def start(self) -> None:
        self.counting.start()
        self.loop.call_later(SWEEP_SECONDS, self._sweep)

    def run(self, work: Any) -> None:
        """Run the coroutine *work* beside everything else, and keep it until it is done."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def drain(self) -> None:
        """Take no further requests than those of connections that already stand."""
        self.draining = True
        for client in list(self.clients):
            client.drain()

    def stop(self) -> None:
        self._stopped = True
        for task in self._tasks:
            task.cancel()
        for client in list(self.clients):
            client.abort()
        for pool in self._pools.values():
            pool.close()
        self.counting.stop()
        self._note_numbers()
        self.traffic.keep()
        self.flask_threads.shutdown(wait=False, cancel_futures=True)
        self._verifiers.shutdown(wait=False, cancel_futures=True)

    def _sweep(self) -> None:
        """All time limits are looked after here, in one pass: no timer for each request."""
        if self._stopped:
            return
        now = self.now = self.loop.time()
        for client in list(self.clients):
            if now >= client.deadline:
                client.late(now)
        self._follow()
        for instance, pool in self._pools.items():
            pool.sweep(now)
            if instance.ejected and instance not in self._probing:
                self.run(self._probe(instance))
        self.numbers.counting_locally = self.counting.local
        self.numbers.connections = len(self.clients)
        self._note_numbers()
        self.loop.call_later(SWEEP_SECONDS, self._sweep)

    def _note_numbers(self) -> None:
        self.numbers.flush()
        for route, status, requests in self.numbers.news():
            # What is no request leads nowhere.
            if (way := self._ways.get(route)) is not None:
                self.traffic.count(way.route.service, status, requests)
        if self.tell_others is not None:
            self.tell_others()

    async def _probe(self, instance: Instance) -> None:
        """Ask an ejected instance whether it is back, so that no caller has to find out."""
        self._probing.add(instance)
        try:
            while instance.ejected and instance in self._pools and not self._stopped:
                if await _answers(instance):
                    self._take_back(instance)
                    return
                await asyncio.sleep(SWEEP_SECONDS)
        finally:
            self._probing.discard(instance)

    def _take_back(self, instance: Instance) -> None:
        for group in self.numbers.instances:
            if instance in group.all:
                group.succeeded(instance)


async def _answers(instance: Instance) -> bool:
    """Whether `/health/live` is answered by anything that speaks HTTP."""
    writer = None
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            reader, writer = await asyncio.open_connection(instance.address, instance.port)
            ask = f"GET /health/live HTTP/1.1\r\nHost: {instance.authority}\r\n"
            writer.write(f"{ask}Connection: close\r\n\r\n".encode())
            return (await reader.readline()).startswith(b"HTTP/1.")
    except (OSError, TimeoutError, ValueError):
        return False
    finally:
        if writer is not None:
            with contextlib.suppress(OSError):
                writer.close()
