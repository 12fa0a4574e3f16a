"""The signal that a transaction adds work for the worker."""

from typing import Final

from backend.chassis.database.sessions import Session, notify_after_commit

WORK_TOPIC: Final = "chat-work"


def announce_work(session: Session) -> None:
    """Wake the workers after the commit of *session*."""
    notify_after_commit(session, WORK_TOPIC)
