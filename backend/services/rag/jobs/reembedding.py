"""Background thread that embeds chunks that an embedding model lacks."""

from backend.chassis.background import PeriodicTask
from backend.services.rag.domain.embeddings.reembedding import Reembedder

_IDLE_SECONDS = 2.0
_STOP_SECONDS = 10.0


class ReembeddingThread:
    """Runs the reembedder until it is stopped. Of several processes, one works at a time."""

    def __init__(self, reembedder: Reembedder) -> None:
        self._task = PeriodicTask(
            "reembedding",
            _IDLE_SECONDS,
            reembedder.run_time_slice,
            on_stop=reembedder.stop,
            stops_at_exit=True,
        )

    def start(self) -> None:
        self._task.start()

    def stop(self) -> None:
        """Stop within seconds. Embedded chunks are kept."""
        self._task.stop(_STOP_SECONDS)
