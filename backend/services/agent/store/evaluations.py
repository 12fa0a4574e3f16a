"""Questions asked of evaluations. The caller owns the transaction."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.services.agent.store.tables import Evaluation, EvaluationAnswer


def latest(session: Session, limit: int) -> Sequence[Evaluation]:
    """The latest evaluations, the newest first."""
    return session.scalars(
        select(Evaluation).order_by(Evaluation.created_at.desc(), Evaluation.id).limit(limit)
    ).all()


def find(session: Session, evaluation_id: str) -> Evaluation | None:
    return session.get(Evaluation, evaluation_id)


def answers(session: Session, evaluation_id: str) -> Sequence[EvaluationAnswer]:
    """All answers so far: by question, then by variant."""
    return session.scalars(
        select(EvaluationAnswer)
        .where(EvaluationAnswer.evaluation_id == evaluation_id)
        .order_by(EvaluationAnswer.question_number, EvaluationAnswer.variant_number)
    ).all()
