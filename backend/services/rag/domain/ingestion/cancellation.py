"""Cancellation of a running ingestion job."""

import threading


class ClaimLost(Exception):
    """The document was deleted, moved or queued again while it was processed."""


class ShutdownRequested(Exception):
    """The process is shutting down."""


class CancellationToken:
    """Signals a running job to stop. It is set from other threads."""

    def __init__(self, shutdown: threading.Event) -> None:
        self._shutdown = shutdown
        self._claim_lost = threading.Event()

    def cancel(self) -> None:
        """Signal that the claim on the document was lost."""
        self._claim_lost.set()

    def raise_if_cancelled(self) -> None:
        """Raise ClaimLost or ShutdownRequested if the job must stop."""
        if self._claim_lost.is_set():
            raise ClaimLost
        if self._shutdown.is_set():
            raise ShutdownRequested
