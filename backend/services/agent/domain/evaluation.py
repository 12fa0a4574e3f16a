"""Evaluations: the same questions asked of several variants; each answer is scored and kept."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import uuid4

from backend.ai.citations import Embedder
from backend.chassis.database.sessions import Database
from backend.chassis.web.problems import ServiceError
from backend.services.agent.clients.runs import Caller, Run, Said, Setting
from backend.services.agent.domain.answers import Answers
from backend.services.agent.domain.events import Answer
from backend.services.agent.domain.questions import Expectation
from backend.services.agent.domain.scores import nothing, scores
from backend.services.agent.store import evaluations as store
from backend.services.agent.store.tables import Evaluation, EvaluationAnswer

RUNNING: Final = "running"
DONE: Final = "done"
INTERRUPTED: Final = "interrupted"

_MILLION: Final = 1_000_000
# What a million tokens cost, read and written, by model.
Prices = Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to answer: a model, and the prompt and settings that a name stands for."""

    model: str
    name: str = ""
    instructions: str = ""
    temperature: float | None = None
    max_tokens: int | None = None

    @property
    def label(self) -> str:
        return f"{self.model} {self.name}".strip()


@dataclass(frozen=True, slots=True)
class Given:
    """What one variant answered to one question."""

    question_number: int
    variant_number: int
    question: str
    expected: str
    answer: str
    error: str | None
    scores: Mapping[str, float]
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    took_ms: int


@dataclass(frozen=True, slots=True)
class Outline:
    """An evaluation in a list."""

    id: str
    created_at: datetime
    file: str
    status: str
    questions: int
    variants: Sequence[str]


class Evaluations:
    """Runs evaluations by the very path of the service, and keeps what they found."""

    def __init__(
        self,
        database: Database,
        answering: Answers,
        embedder: Embedder,
        prices: Prices,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._answering = answering
        self._embedder = embedder
        self._prices = prices
        self._now = now

    def begin(self, file: str, questions: int, variants: Sequence[Variant]) -> Outline:
        """A new evaluation without any answer."""
        kept = Evaluation(
            id=f"eval_{uuid4().hex[:12]}",
            created_at=self._now(),
            file=file[:255],
            status=RUNNING,
            questions=questions,
            variants=[variant.label for variant in variants],
        )
        with self._database.write() as session:
            session.add(kept)
            session.flush()
            return _outline(kept)

    def run(
        self,
        outline: Outline,
        questions: Sequence[Expectation],
        variants: Sequence[Variant],
        caller: Caller,
    ) -> Iterator[Given]:
        """Every answer as it is given and kept. Closed before its end, it stays interrupted."""
        status = INTERRUPTED
        try:
            for number, expectation in enumerate(questions):
                for place, variant in enumerate(variants):
                    given = self._asked(number, place, expectation, variant, caller)
                    with self._database.write() as session:
                        session.add(_kept(outline.id, given))
                    yield given
            status = DONE
        finally:
            with self._database.write() as session:
                if (kept := store.find(session, outline.id)) is not None:
                    kept.status = status

    def latest(self, limit: int) -> list[Outline]:
        """The latest evaluations, the newest first."""
        with self._database.read() as session:
            return [_outline(each) for each in store.latest(session, limit)]

    def found(self, evaluation_id: str) -> tuple[Outline, list[Given]] | None:
        """An evaluation with its answers so far."""
        with self._database.read() as session:
            kept = store.find(session, evaluation_id)
            if kept is None:
                return None
            return _outline(kept), [_given(each) for each in store.answers(session, evaluation_id)]

    def _asked(
        self, number: int, place: int, expectation: Expectation, variant: Variant, caller: Caller
    ) -> Given:
        run = Run(
            variant.model,
            [Said("user", expectation.question)],
            Setting(caller, expectation.collection),
            variant.temperature,
            variant.max_tokens,
            may_pause=False,
            instructions=variant.instructions,
        )
        begun = self._now()
        answer, error = None, None
        try:
            with closing(self._answering.once(run)) as told:
                answer = next(each for each in told if isinstance(each, Answer))
        except ServiceError as failure:
            error = failure.code
        took = round((self._now() - begun).total_seconds() * 1000)
        told_scores = (
            nothing(expectation)
            if answer is None
            else scores(expectation, answer.text, answer.citations, self._embedder)
        )
        return Given(
            question_number=number,
            variant_number=place,
            question=expectation.question,
            expected=" | ".join(expectation.expected),
            answer="" if answer is None else answer.text,
            error=error,
            scores=told_scores,
            prompt_tokens=0 if answer is None else answer.prompt_tokens,
            completion_tokens=0 if answer is None else answer.completion_tokens,
            cost=None if answer is None else self._cost(answer),
            took_ms=took,
        )

    def _cost(self, answer: Answer) -> float | None:
        price = self._prices.get(answer.model)
        if price is None:
            return None
        read, written = price
        return (answer.prompt_tokens * read + answer.completion_tokens * written) / _MILLION


def _outline(kept: Evaluation) -> Outline:
    return Outline(kept.id, kept.created_at, kept.file, kept.status, kept.questions, kept.variants)


def _kept(evaluation_id: str, given: Given) -> EvaluationAnswer:
    return EvaluationAnswer(
        evaluation_id=evaluation_id,
        **{name: getattr(given, name) for name in _COLUMNS} | {"scores": dict(given.scores)},
    )


def _given(kept: EvaluationAnswer) -> Given:
    return Given(**{name: getattr(kept, name) for name in _COLUMNS})


_COLUMNS: Final = tuple(Given.__dataclass_fields__)
