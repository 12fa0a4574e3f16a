"""Signs of life for a document while it is read, and the news that it was taken away."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from backend.services.rag.domain.queue import Queue

_log = logging.getLogger(__name__)
BEAT_SECONDS = 3.0


@contextmanager
def beating(
    queue: Queue, claim: str, seconds: float, *, on_lost: Callable[[], None]
) -> Iterator[None]:
    """Keep *claim* from lapsing until the block ends, for *seconds* at most: who takes longer
    is stuck, and another may have the document. *on_lost* hears that the claim does not hold
    any more, from another thread.
    """
    ended = threading.Event()

    def beat() -> None:
        last = monotonic() + seconds
        while not ended.wait(BEAT_SECONDS):
            if monotonic() > last:
                _log.error("reading takes longer than %d s; it is left to others", seconds)
                on_lost()
                return
            try:
                if not queue.beat([claim]):
                    on_lost()
                    return
            except Exception:  # noqa: BLE001 - the next beat may get through
                _log.warning("a sign of life was not noted", exc_info=True)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
