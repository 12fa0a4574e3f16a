"""Queries on evaluations. The caller owns the transaction."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.services.agent.store.tables import Evaluation, EvaluationAnswer


def list_evaluations(session: Session, limit: int) -> Sequence[Evaluation]:
    """Return the latest evaluations, newest first."""
    return session.scalars(
        select(Evaluation).order_by(Evaluation.created_at.desc(), Evaluation.id).limit(limit)
    ).all()


def find_evaluation(session: Session, evaluation_id: str) -> Evaluation | None:
    return session.get(Evaluation, evaluation_id)


def list_answers(session: Session, evaluation_id: str) -> Sequence[EvaluationAnswer]:
    """Return all answers so far, ordered by question and variant."""
    return session.scalars(
        select(EvaluationAnswer)
        .where(EvaluationAnswer.evaluation_id == evaluation_id)
        .order_by(EvaluationAnswer.question_number, EvaluationAnswer.variant_number)
    ).all()
