"""The job that transcribes recordings and synthesizes answers."""

from datetime import datetime

from backend.services.chat.domain.voice.jobs import VoiceJobs


class VoiceJob:
    """Runs voice jobs one after another: a transcription occupies a core and 370 MB."""

    name = "voice"
    threads = 1

    def __init__(self, jobs: VoiceJobs) -> None:
        self._jobs = jobs

    def has_due_work(self) -> bool:
        return self._jobs.has_due_job()

    def run_once(self) -> bool:
        return self._jobs.run_next()

    def get_next_due_time(self) -> datetime | None:
        return self._jobs.get_next_due_time()
