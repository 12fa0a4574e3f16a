"""What service and worker send each other: that a document waits.

The truth is in the tables; a message is only the word that there is something to do, and which
document somebody has just added. So a message may be lost, come twice or come late: whoever
hears it asks the queue whose turn it is.
"""

import logging
import threading
from typing import TYPE_CHECKING
from urllib.parse import quote

from redis.exceptions import RedisError

from backend.security.redis import is_cluster, read_url

if TYPE_CHECKING:
    from celery import Celery

_log = logging.getLogger(__name__)
TASK = "rag.read"
# Of requests that come at once, so many messages are sent at most: a worker that has begun
# goes on until nothing waits.
_MOST_AT_ONCE = 4


def open_broker(url: str, longest_seconds: float) -> "Celery":
    """The Celery app of service and worker; a task of theirs ends within *longest_seconds*."""
    from celery import Celery  # takes half a second, which only those who use it wait

    app = Celery("rag", broker=_celerys(url), set_as_current=False)
    app.conf.update(
        broker_use_ssl=_tls(url),
        task_default_queue="rag.reading",
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        # A message is done when its work is, and comes back when its worker ends before that.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=_transport_options(url, longest_seconds),
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        worker_disable_rate_limits=True,
    )
    return app


def carries_messages(url: str) -> bool:
    """Whether the broker can: Celery knows no cluster of Redis. RedisError if it is away."""
    return not _is_redis(url) or not is_cluster(url)


def _is_redis(url: str) -> bool:
    return url.startswith(("redis", "valkey", "unix"))


def _celerys(url: str) -> str:
    """*url* as Celery writes it."""
    if not _is_redis(url):
        return url
    place = read_url(url)
    login = f"{quote(place.user or '', '')}:{quote(place.password or '', '')}@"
    if place.socket is not None:
        return f"redis+socket://{login}{place.socket}?virtual_host={place.database}"
    host, port = place.nodes[0]
    host = f"[{host}]" if ":" in host else host
    return f"redis{'s' if place.tls else ''}://{login}{host}:{port}/{place.database}"


def _tls(url: str) -> dict[str, object] | None:
    place = read_url(url) if _is_redis(url) else None
    if place is None or place.tls is None:
        return None
    return {"ssl_cert_reqs": "required"} | dict(place.tls)


def _transport_options(url: str, longest_seconds: float) -> dict[str, object]:
    if not _is_redis(url):
        return {"confirm_publish": True}
    return {
        # Redis itself knows no delivery that failed: what is not done by then comes again.
        "visibility_timeout": int(longest_seconds + 30),
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "health_check_interval": 10,
        "socket_connect_timeout": 3,
        "socket_keepalive": True,
        "global_keyprefix": "rag:",
    }


class Bell:
    """Tells the workers that documents wait, without keeping anybody waiting itself."""

    def __init__(self, url: str, longest_seconds: float) -> None:
        self._url = url
        self._longest_seconds = longest_seconds
        self._carries: bool | None = None
        self._rung = threading.Semaphore(0)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bell", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ring(self) -> None:
        self._rung.release()

    def stop(self) -> None:
        self._stopping.set()
        self._rung.release()
        self._thread.join(5)

    def _run(self) -> None:
        app: Celery | None = None
        while self._rung.acquire() and not self._stopping.is_set():
            count = 1
            while self._rung.acquire(blocking=False):
                count += 1
            if not self._is_heard():
                continue
            # At the first ring: it is a library to load, which the start need not wait for.
            app = app or open_broker(self._url, self._longest_seconds)
            send(app, min(count, _MOST_AT_ONCE))

    def _is_heard(self) -> bool:
        """Whether messages can be sent; else the workers look at the tables."""
        if self._carries is None:
            try:
                self._carries = carries_messages(self._url)
            except RedisError as fault:
                _log.warning("the broker does not answer: %s", fault)
        return bool(self._carries)


def send(app: "Celery", count: int = 1) -> bool:
    """Whether the broker took the messages. If not, workers find out by looking at the tables."""
    try:
        with app.producer_or_acquire() as producer:
            for _ in range(count):
                app.send_task(TASK, producer=producer, retry=False)
    except Exception as fault:  # noqa: BLE001 - of any transport; nothing is lost by it
        _log.warning("the broker does not answer: %s", fault)
        return False
    return True
