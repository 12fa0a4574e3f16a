"""Celery messages that announce waiting documents to the workers.

The queue is in the tables. A message only announces that a document was added, so it can be lost,
duplicated or late: a worker that receives one takes the next document from the tables.
"""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from redis.exceptions import RedisError

from backend.chassis.wake_pipe import wake_workers
from backend.security.redis import is_cluster, parse_redis_url

if TYPE_CHECKING:
    from celery import Celery

_log = logging.getLogger(__name__)
TASK_NAME = "rag.read"
# Messages for simultaneous uploads are limited to this number: a worker that has started continues
# until no document is waiting.
_MAX_MESSAGES = 4


def open_celery_app(url: str, max_task_seconds: float) -> "Celery":
    """Create the Celery app for the service or a worker.

    Args:
        max_task_seconds: maximum duration of a task.
    """
    from celery import Celery  # importing takes half a second, so only if Celery is used

    app = Celery("rag", broker=_build_celery_url(url), set_as_current=False)
    app.conf.update(
        broker_use_ssl=_get_tls_options(url),
        task_default_queue="rag.reading",
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        # Acknowledge a message after its task, so that it is redelivered if the worker is killed.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=_get_transport_options(url, max_task_seconds),
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        worker_disable_rate_limits=True,
    )
    return app


def supports_messages(url: str) -> bool:
    """Check whether Celery supports the broker, which it does unless it is a Redis Cluster.

    Raises:
        RedisError: Redis does not respond.
    """
    return not _is_redis(url) or not is_cluster(url)


def _is_redis(url: str) -> bool:
    return url.startswith(("redis", "valkey", "unix"))


def _build_celery_url(url: str) -> str:
    """Convert *url* to Celery's notation."""
    if not _is_redis(url):
        return url
    address = parse_redis_url(url)
    login = f"{quote(address.user or '', '')}:{quote(address.password or '', '')}@"
    if address.socket is not None:
        return f"redis+socket://{login}{address.socket}?virtual_host={address.database}"
    host, port = address.nodes[0]
    host = f"[{host}]" if ":" in host else host
    return f"redis{'s' if address.tls else ''}://{login}{host}:{port}/{address.database}"


def _get_tls_options(url: str) -> dict[str, object] | None:
    address = parse_redis_url(url) if _is_redis(url) else None
    if address is None or address.tls is None:
        return None
    return {"ssl_cert_reqs": "required"} | dict(address.tls)


def _get_transport_options(url: str, max_task_seconds: float) -> dict[str, object]:
    if not _is_redis(url):
        return {"confirm_publish": True}
    return {
        # Redis does not detect failed workers: Celery redelivers an unacknowledged message after
        # this time.
        "visibility_timeout": int(max_task_seconds + 30),
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "health_check_interval": 10,
        "socket_connect_timeout": 3,
        "socket_keepalive": True,
        "global_keyprefix": "rag:",
    }


class WorkerNotifier:
    """Wakes the workers from its own thread, so that callers never wait.

    Workers of this host are woken through their pipes in *folder*. Messages are sent to the
    broker at *url* only if there are none.

    Args:
        has_unfinished_work: called when the thread starts: a worker on demand does not look for
            work that was left before a restart.
    """

    def __init__(
        self,
        url: str,
        max_task_seconds: float,
        folder: Path,
        has_unfinished_work: Callable[[], bool] = lambda: False,
    ) -> None:
        self._url = url
        self._folder = folder
        self._has_unfinished_work = has_unfinished_work
        self._max_task_seconds = max_task_seconds
        self._app: Celery | None = None
        self._supports_messages: bool | None = None
        self._notifications = threading.Semaphore(0)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="worker-notifier", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def notify_workers(self) -> None:
        """Schedule a wake-up of the workers and return immediately."""
        self._notifications.release()

    def stop(self) -> None:
        self._stopping.set()
        self._notifications.release()
        self._thread.join(5)

    def _run(self) -> None:
        try:
            if self._has_unfinished_work():
                wake_workers(self._folder)
        except Exception:  # noqa: BLE001 - later documents must wake the workers
            _log.exception("unfinished work cannot be looked for")
        while self._notifications.acquire() and not self._stopping.is_set():
            count = 1
            while self._notifications.acquire(blocking=False):
                count += 1
            try:
                self._wake_workers(count)
            except Exception:  # noqa: BLE001 - workers also poll; later documents must wake them
                _log.exception("the workers cannot be woken")

    def _wake_workers(self, count: int) -> None:
        if wake_workers(self._folder) or not self._can_send_messages():
            return
        # Celery is imported at the first notification, so that it does not delay the start.
        self._app = self._app or open_celery_app(self._url, self._max_task_seconds)
        send_task_messages(self._app, min(count, _MAX_MESSAGES))

    def _can_send_messages(self) -> bool:
        """Check whether messages can be sent. Otherwise the workers poll the tables."""
        if self._supports_messages is None:
            try:
                self._supports_messages = supports_messages(self._url)
            except RedisError as error:
                _log.warning("the broker does not respond: %s", error)
        return bool(self._supports_messages)


def send_task_messages(app: "Celery", count: int = 1) -> bool:
    """Send *count* messages.

    Returns:
        False if the broker does not accept them. Workers then find the documents by polling.
    """
    try:
        with app.producer_or_acquire() as producer:
            for _ in range(count):
                app.send_task(TASK_NAME, producer=producer, retry=False)
    except Exception as error:  # noqa: BLE001 - depends on the transport; no data is lost
        _log.warning("the broker does not respond: %s", error)
        return False
    return True
