"""The agent service's data that encryption at rest covers."""

from typing import Any

from sqlalchemy import ColumnElement, literal, select

from backend.chassis.data_encryption.sealed_data import SealedData, SealedTable
from backend.chassis.database.sessions import open_database
from backend.chassis.settings import Env
from backend.services.agent.settings import Settings
from backend.services.agent.store.sealed_columns import OPERATOR, create_sealed_columns
from backend.services.agent.store.tables import Conversation, EvaluationAnswer, Message


def open_sealed_data(env: Env) -> SealedData:
    """Return the data, after migrating the tables."""
    data = describe_sealed_data(Settings.from_env(env))
    data.database.migrate("agent")
    return data


def describe_sealed_data(settings: Settings) -> SealedData:
    """Return the data for tables that are migrated."""
    return SealedData(
        "agent",
        open_database(settings.database_url, "agent"),
        settings.encryption,
        [SealedTable(each, _select_tenant(each.model)) for each in create_sealed_columns()],
        [],
    )


def _select_tenant(model: type[Any]) -> ColumnElement[str]:
    if model is EvaluationAnswer:
        return literal(OPERATOR)
    if model is Message:
        conversation = Conversation.id == Message.conversation_id
        return select(Conversation.tenant_id).where(conversation).scalar_subquery()
    tenant: ColumnElement[str] = model.tenant_id
    return tenant
