"""gunicorn's logger, which writes to the handlers of the process."""

from typing import Any

from gunicorn.config import Config
from gunicorn.glogging import Logger


class GunicornLogger(Logger):
    """Passes gunicorn's messages to the handlers of `configure_logging`.

    gunicorn's own class configures the package logging a second time. That, and its search for
    files to reopen, iterates over the thousand loggers of all packages. In a process of the fork
    server, this would copy the memory pages of all of them.
    """

    def setup(self, cfg: Config) -> None:
        self.cfg: Config = cfg
        self.error_log.propagate = True
        # Each service writes its own access log, with request ids.
        self._access_log_enabled = False

    def close_on_exec(self) -> None:
        """Do nothing: no handler has a file."""

    def reopen_files(self, *_: Any) -> None:
        """Do nothing: no handler has a file."""
