"""The job that downloads the files of received messages."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from backend.services.chat.domain.media.downloads import AttachmentDownloads

_ORPHAN_INTERVAL: Final = timedelta(hours=6)


class MediaDownloadJob:
    """Downloads files, and deletes those whose messages were deleted."""

    name = "media download"
    threads = 2

    def __init__(self, downloads: AttachmentDownloads, now: Callable[[], datetime]) -> None:
        self._downloads = downloads
        self._now = now
        self._next_sweep: datetime | None = None

    def has_due_work(self) -> bool:
        return self._downloads.has_due_file()

    def run_once(self) -> bool:
        now = self._now()
        if self._next_sweep is None or now >= self._next_sweep:
            self._next_sweep = now + _ORPHAN_INTERVAL
            self._downloads.delete_orphans()
        return self._downloads.download_next()

    def get_next_due_time(self) -> datetime | None:
        return self._downloads.get_next_due_time()
