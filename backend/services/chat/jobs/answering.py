"""The job that answers conversations."""

from datetime import datetime

from backend.services.chat.domain.answers import AnswerService


class AnsweringJob:
    """Answers the conversations whose answer is due."""

    name = "answers"
    threads = 4

    def __init__(self, answers: AnswerService) -> None:
        self._answers = answers

    def has_due_work(self) -> bool:
        return self._answers.has_due_answer()

    def run_once(self) -> bool:
        return self._answers.answer_next()

    def get_next_due_time(self) -> datetime | None:
        return self._answers.get_next_due_time()
