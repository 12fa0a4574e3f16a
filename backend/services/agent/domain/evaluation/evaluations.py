"""Evaluations: answer questions with several variants, and score and store the answers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import uuid4

from backend.ai.answer_scores import score_answer, zero_scores
from backend.ai.embedder import Embedder
from backend.chassis.database.sessions import Database
from backend.chassis.web.problems import ServiceError
from backend.services.agent.domain.answers.events import Answer
from backend.services.agent.domain.answers.service import AnswerService
from backend.services.agent.domain.evaluation.metrics import EvaluationMetric, MetricFailed
from backend.services.agent.domain.evaluation.question_files import EvaluationQuestion
from backend.services.agent.engine.token_prices import Prices, calculate_cost
from backend.services.agent.model import Caller, HistoryMessage, RunRequest, ToolContext
from backend.services.agent.store import evaluations as store
from backend.services.agent.store.sealed_columns import OPERATOR
from backend.services.agent.store.tables import Evaluation, EvaluationAnswer

RUNNING: Final = "running"
DONE: Final = "done"
INTERRUPTED: Final = "interrupted"


@dataclass(frozen=True, slots=True)
class Variant:
    """A model with a named prompt and settings."""

    model: str
    name: str = ""
    instructions: str = ""
    temperature: float | None = None
    max_tokens: int | None = None

    @property
    def label(self) -> str:
        return f"{self.model} {self.name}".strip()


@dataclass(frozen=True, slots=True)
class EvaluatedAnswer:
    """The scored answer of one variant to one question. `error` is an error code or None.

    `metric_errors` has a line for each metric of an installed package that failed.
    """

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
    metric_errors: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class EvaluationSummary:
    """An evaluation without its answers."""

    id: str
    created_at: datetime
    file: str
    status: str
    questions: int
    variants: Sequence[str]


class EvaluationService:
    """Runs evaluations through the service's own answer path, and stores their answers."""

    def __init__(
        self,
        database: Database,
        answer_service: AnswerService,
        embedder: Embedder,
        prices: Prices,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._answer_service = answer_service
        self._embedder = embedder
        self._prices = prices
        self._now = now

    def create_evaluation(
        self, file: str, questions: int, variants: Sequence[Variant]
    ) -> EvaluationSummary:
        """Create an evaluation without answers."""
        row = Evaluation(
            id=f"eval_{uuid4().hex[:12]}",
            created_at=self._now(),
            file=file[:255],
            status=RUNNING,
            questions=questions,
            variants=[variant.label for variant in variants],
        )
        with self._database.write(OPERATOR) as session:
            session.add(row)
            session.flush()
            return _to_summary(row)

    def run_evaluation(
        self,
        evaluation: EvaluationSummary,
        questions: Sequence[EvaluationQuestion],
        variants: Sequence[Variant],
        caller: Caller,
        metrics: Sequence[EvaluationMetric] = (),
    ) -> Iterator[EvaluatedAnswer]:
        """Yield each answer after it is stored. *metrics* score it in addition.

        If the iterator is closed early, the evaluation gets the status "interrupted".
        """
        status = INTERRUPTED
        try:
            for question_number, question in enumerate(questions):
                for variant_number, variant in enumerate(variants):
                    answer = self._evaluate_question(
                        question_number, variant_number, question, variant, caller, metrics
                    )
                    with self._database.write(OPERATOR) as session:
                        session.add(_to_row(evaluation.id, answer))
                    yield answer
            status = DONE
        finally:
            with self._database.write(OPERATOR) as session:
                if (row := store.find_evaluation(session, evaluation.id)) is not None:
                    row.status = status

    def list_evaluations(self, limit: int) -> list[EvaluationSummary]:
        """Return the latest evaluations, newest first."""
        with self._database.read(OPERATOR) as session:
            return [_to_summary(row) for row in store.list_evaluations(session, limit)]

    def get_evaluation(
        self, evaluation_id: str
    ) -> tuple[EvaluationSummary, list[EvaluatedAnswer]] | None:
        """Return an evaluation with its answers so far, or None."""
        with self._database.read(OPERATOR) as session:
            row = store.find_evaluation(session, evaluation_id)
            if row is None:
                return None
            answers = store.list_answers(session, evaluation_id)
            return _to_summary(row), [_to_evaluated_answer(answer) for answer in answers]

    def _evaluate_question(
        self,
        question_number: int,
        variant_number: int,
        question: EvaluationQuestion,
        variant: Variant,
        caller: Caller,
        metrics: Sequence[EvaluationMetric],
    ) -> EvaluatedAnswer:
        run = RunRequest(
            variant.model,
            [HistoryMessage("user", question.question)],
            ToolContext(caller, question.collection),
            variant.temperature,
            variant.max_tokens,
            can_pause=False,
            instructions=variant.instructions,
            request_type="evaluation",
        )
        started_at = self._now()
        answer, error = None, None
        try:
            with closing(self._answer_service.answer_without_conversation(run)) as events:
                answer = next(event for event in events if isinstance(event, Answer))
        except ServiceError as failure:
            error = failure.code
        took_ms = round((self._now() - started_at).total_seconds() * 1000)
        scores = (
            zero_scores(with_citations=question.requires_citations)
            if answer is None
            else score_answer(
                answer.text,
                question.expected,
                self._embedder,
                citations=answer.citations if question.requires_citations else None,
                required_documents=question.must_cite,
            )
        )
        metric_scores, metric_errors = _apply_metrics(metrics, question, answer)
        return EvaluatedAnswer(
            question_number=question_number,
            variant_number=variant_number,
            question=question.question,
            expected=" | ".join(question.expected),
            answer="" if answer is None else answer.text,
            error=error,
            scores=scores | metric_scores,
            metric_errors=metric_errors,
            prompt_tokens=0 if answer is None else answer.prompt_tokens,
            completion_tokens=0 if answer is None else answer.completion_tokens,
            cost=None if answer is None else self._calculate_cost(answer),
            took_ms=took_ms,
        )

    def _calculate_cost(self, answer: Answer) -> float | None:
        return calculate_cost(
            self._prices, answer.model, answer.prompt_tokens, answer.completion_tokens
        )


def _apply_metrics(
    metrics: Sequence[EvaluationMetric], question: EvaluationQuestion, answer: Answer | None
) -> tuple[dict[str, float], dict[str, str]]:
    """Return the scores and the errors of *metrics* by name. Without an answer, scores are 0."""
    if answer is None:
        return {metric.name: 0.0 for metric in metrics}, {}
    scores: dict[str, float] = {}
    errors: dict[str, str] = {}
    for metric in metrics:
        try:
            score = metric.score_answer(
                question.question, question.expected, answer.text, answer.citations
            )
        except MetricFailed as error:
            errors[metric.name] = str(error)
            continue
        if score is not None:
            scores[metric.name] = score
    return scores, errors


def _to_summary(row: Evaluation) -> EvaluationSummary:
    return EvaluationSummary(
        row.id, row.created_at, row.file, row.status, row.questions, row.variants
    )


def _to_row(evaluation_id: str, answer: EvaluatedAnswer) -> EvaluationAnswer:
    return EvaluationAnswer(
        evaluation_id=evaluation_id,
        **{name: getattr(answer, name) for name in _COLUMNS}
        | {"scores": dict(answer.scores), "metric_errors": dict(answer.metric_errors)},
    )


def _to_evaluated_answer(row: EvaluationAnswer) -> EvaluatedAnswer:
    # None for answers that were stored before metrics of packages existed.
    errors = row.metric_errors or {}
    return EvaluatedAnswer(
        **{name: getattr(row, name) for name in _COLUMNS} | {"metric_errors": errors}
    )


_COLUMNS: Final = tuple(EvaluatedAnswer.__dataclass_fields__)
