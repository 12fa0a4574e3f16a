"""Send the mails for who forgot a password: at once, and again where that failed."""

import logging

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from backend.services.auth.domain.recovery import Recovery
from backend.services.auth.jobs.background import run_beside

_log = logging.getLogger(__name__)
_PAUSE_SECONDS = 5.0


def keep_sending(app: Flask, recovery: Recovery) -> None:
    """Start at the first request of *app*."""
    run_beside(app, "mail", lambda: _send(recovery))


def _send(recovery: Recovery) -> None:
    well = True
    while True:
        try:
            recovery.send_waiting()
            well = True
        except SQLAlchemyError as error:
            if well:
                _log.warning("waiting mails can't be read: %s", type(error).__name__)
            well = False
        recovery.asked.wait(_PAUSE_SECONDS)
        recovery.asked.clear()
