"""Queries on message templates. The caller owns the transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from backend.services.chat.store.base import new_id
from backend.services.chat.store.tables import Account, Template


@dataclass(frozen=True, slots=True)
class TemplateRow:
    """A template as its provider lists it."""

    external_id: str
    name: str
    language: str
    category: str
    status: str
    reason: str | None
    components: Sequence[Mapping[str, Any]]


def list_templates(
    session: Session, tenant_id: str, account_id: str | None, limit: int, after: str | None
) -> Sequence[Template]:
    """Return the tenant's templates by id.

    Args:
        after: id of the last template of the previous page, or None.
    """
    query = (
        select(Template).where(Template.tenant_id == tenant_id).order_by(Template.id).limit(limit)
    )
    if account_id is not None:
        query = query.where(Template.account_id == account_id)
    if after is not None:
        query = query.where(Template.id > after)
    return session.scalars(query).all()


def find_template(session: Session, account_id: str, name: str, language: str) -> Template | None:
    """Return the account's template in a language, or None."""
    return session.scalar(
        select(Template).where(
            Template.account_id == account_id,
            Template.name == name,
            Template.language == language,
        )
    )


def set_template_status(
    session: Session,
    account_id: str,
    name: str,
    language: str,
    status: str,
    reason: str | None,
    now: datetime,
) -> None:
    """Set the status of the account's template in a language, if it is known."""
    session.execute(
        update(Template)
        .where(
            Template.account_id == account_id,
            Template.name == name,
            Template.language == language,
        )
        .values(status=status, reason=reason, synced_at=now)
        .execution_options(synchronize_session=False)
    )


def replace_templates(
    session: Session, account: Account, rows: Sequence[TemplateRow], now: datetime
) -> int:
    """Store *rows* as all templates of the account. Returns the number of those removed."""
    stored = {
        (template.name, template.language): template
        for template in session.scalars(select(Template).where(Template.account_id == account.id))
    }
    listed = {(row.name, row.language): row for row in rows}
    for key, row in listed.items():
        template = stored.pop(key, None)
        if template is None:
            template = Template(
                id=new_id("tpl"),
                tenant_id=account.tenant_id,
                account_id=account.id,
                name=row.name,
                language=row.language,
            )
            session.add(template)
        template.external_id = row.external_id or None
        template.category, template.status, template.reason = row.category, row.status, row.reason
        template.components = [dict(component) for component in row.components]
        template.synced_at = now
    removed = [template.id for template in stored.values()]
    if removed:
        session.execute(delete(Template).where(Template.id.in_(removed)))
    session.flush()
    return len(removed)
