"""Wiring of the worker that reads documents: `python -m backend.services.rag.worker`."""

import logging
import os
import signal
import sys

from backend.chassis.logs import log_as_json
from backend.chassis.settings import SettingsError, load_env
from backend.services.rag.settings import Settings

_log = logging.getLogger(__name__)
# Reading takes what of the processors nobody else wants.
_NICENESS = 10


def main() -> None:
    os.nice(_NICENESS)
    log_as_json("rag-worker")
    try:
        settings = Settings.from_env(load_env())
    except SettingsError as error:
        sys.exit(f"rag-worker: {error}")
    if settings.broker_url is None:
        _log.warning("There is no broker; the rag service reads documents itself.")
        signal.pause()
        return
    from backend.services.rag.jobs.broker import open_broker
    from backend.services.rag.jobs.worker import work
    from backend.services.rag.parts import Parts

    app = open_broker(settings.broker_url, settings.longest_turn_seconds)
    work(app, Parts.open(settings).ingestion, settings.worker_threads)


if __name__ == "__main__":
    main()
