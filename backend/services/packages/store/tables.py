"""Tables of the packages service.

Every table has the tenant of its rows, for row-level security. Ids are made by `new_id`, except
those of events, which are derived from their duplicate keys.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from backend.chassis.database.types import UtcDateTime
from backend.services.packages.store.base import Base

# SQLite increments only a key of the type INTEGER.
_BIG_KEY = BigInteger().with_variant(Integer(), "sqlite")
_PACKAGE = "packages.id"
_ACCOUNT = "webhook_accounts.id"


class PackageRow(Base):
    """A package with the state that is computed from its events.

    `row` is the number of the row in the search index. `origin_key` and `destination_key` are
    `Location.key`; the countries are those of the places. `is_late` is true if the package was
    delivered after the promised time, or if that time has passed without a delivery. `words` are
    the words that searches find, separated by spaces.
    """

    __tablename__ = "packages"
    __table_args__ = (
        UniqueConstraint("id"),
        UniqueConstraint("tenant_id", "carrier", "number"),
        Index("ix_packages_created", "tenant_id", "created_at", "id"),
        Index("ix_packages_updated", "tenant_id", "updated_at", "id"),
        Index("ix_packages_status", "tenant_id", "status", "created_at", "id"),
        Index("ix_packages_carrier", "tenant_id", "carrier", "created_at", "id"),
        Index("ix_packages_number", "tenant_id", "number", "created_at", "id"),
        Index("ix_packages_reference", "tenant_id", "reference", "created_at", "id"),
        Index("ix_packages_origin", "tenant_id", "origin_key", "created_at", "id"),
        Index("ix_packages_destination", "tenant_id", "destination_key", "created_at", "id"),
        Index("ix_packages_from_country", "tenant_id", "origin_country", "created_at", "id"),
        Index("ix_packages_to_country", "tenant_id", "destination_country", "created_at", "id"),
        Index("ix_packages_eta", "tenant_id", "eta_p50", "id"),
        Index("ix_packages_promised", "tenant_id", "promised_at", "id"),
        # With the columns of the statistics by day, which are computed from the index alone.
        Index(
            "ix_packages_delivered", "tenant_id", "delivered_at", "id", "started_at", "promised_at"
        ),
        Index("ix_packages_late", "tenant_id", "is_late", "created_at", "id"),
        # For the task that marks packages as late.
        Index(
            "ix_packages_due",
            "promised_at",
            "status",
            sqlite_where=text("delivered_at IS NULL AND is_late IS 0"),
            postgresql_where=text("delivered_at IS NULL AND is_late IS false"),
        ),
        # For the statistics by lane and carrier.
        Index(
            "ix_packages_lane", "tenant_id", "origin_key", "destination_key", "carrier", "is_late"
        ),
        {"sqlite_autoincrement": True},
    )

    row: Mapped[int] = mapped_column(_BIG_KEY, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(40))
    tenant_id: Mapped[str] = mapped_column(String(64))
    number: Mapped[str] = mapped_column(String(64))
    carrier: Mapped[str] = mapped_column(String(40))
    reference: Mapped[str | None] = mapped_column(String(128))
    origin: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    destination: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    origin_key: Mapped[str] = mapped_column(String(255), default="")
    destination_key: Mapped[str] = mapped_column(String(255), default="")
    origin_country: Mapped[str] = mapped_column(String(2), default="")
    destination_country: Mapped[str] = mapped_column(String(2), default="")
    service: Mapped[str | None] = mapped_column(String(64))
    weight_g: Mapped[int | None]
    shipped_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    promised_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    tags: Mapped[list[str]] = mapped_column(JSON, default=list)
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", JSON, default=dict)
    words: Mapped[str] = mapped_column(Text, default="")
    status: Mapped[str] = mapped_column(String(24))
    sub_status: Mapped[str | None] = mapped_column(String(32))
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    delivered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    is_late: Mapped[bool] = mapped_column(default=False)
    last_event: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    event_count: Mapped[int] = mapped_column(default=0)
    eta_p10: Mapped[datetime | None] = mapped_column(UtcDateTime)
    eta_p50: Mapped[datetime | None] = mapped_column(UtcDateTime)
    eta_p90: Mapped[datetime | None] = mapped_column(UtcDateTime)
    late_probability: Mapped[float | None]
    eta_samples: Mapped[int | None]
    eta_group: Mapped[str | None] = mapped_column(String(600))
    version: Mapped[int] = mapped_column(default=1)
    created_by: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class PackageTag(Base):
    """A tag of a package, for filters. `created_at` is that of the package."""

    __tablename__ = "package_tags"
    __table_args__ = (Index("ix_package_tags_tag", "tenant_id", "tag", "created_at", "package_id"),)

    package_id: Mapped[str] = mapped_column(
        ForeignKey(_PACKAGE, ondelete="CASCADE"), primary_key=True
    )
    tag: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class TrackingEventRow(Base):
    """A tracking event. `position` is the order of arrival. See `model.TrackingEvent`."""

    __tablename__ = "tracking_events"
    __table_args__ = (
        UniqueConstraint("id"),
        UniqueConstraint("package_id", "key"),
        Index("ix_tracking_events_package", "package_id", "occurred_at"),
        {"sqlite_autoincrement": True},
    )

    position: Mapped[int] = mapped_column(_BIG_KEY, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(40))
    tenant_id: Mapped[str] = mapped_column(String(64))
    package_id: Mapped[str] = mapped_column(ForeignKey(_PACKAGE, ondelete="CASCADE"))
    key: Mapped[str] = mapped_column(String(255))
    code: Mapped[str] = mapped_column(String(24))
    occurred_at: Mapped[datetime] = mapped_column(UtcDateTime)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    local_time: Mapped[str | None] = mapped_column(String(40))
    time_basis: Mapped[str] = mapped_column(String(8))
    sequence: Mapped[int | None]
    location: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    reason: Mapped[str | None] = mapped_column(String(32))
    detail: Mapped[str | None] = mapped_column(Text)
    raw_code: Mapped[str | None] = mapped_column(String(64))
    external_id: Mapped[str | None] = mapped_column(String(200))
    corrects: Mapped[str | None] = mapped_column(String(200))
    source: Mapped[str] = mapped_column(String(32))


class WebhookAccountRow(Base):
    """An account of a tracking provider that sends webhooks. `secret` is sealed.

    The id is a part of the webhook's URL.
    """

    __tablename__ = "webhook_accounts"
    __table_args__ = (Index("ix_webhook_accounts_tenant", "tenant_id", "created_at", "id"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    source: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(String(100))
    secret: Mapped[str] = mapped_column(Text)
    created_by: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class WebhookDeliveryRow(Base):
    """A verified webhook as it was received. Its events are recorded afterwards.

    `key` is the provider's id of the delivery, or a digest of the body. `state` is `received`,
    `done` or `failed`; `result` counts the events, `error` has the reason.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        UniqueConstraint("account_id", "key"),
        Index("ix_webhook_deliveries_state", "state", "received_at"),
        Index("ix_webhook_deliveries_tenant", "tenant_id", "account_id", "received_at", "id"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    account_id: Mapped[str] = mapped_column(ForeignKey(_ACCOUNT, ondelete="CASCADE"))
    source: Mapped[str] = mapped_column(String(16))
    key: Mapped[str] = mapped_column(String(255))
    body: Mapped[bytes] = mapped_column(LargeBinary)
    state: Mapped[str] = mapped_column(String(16), default="received")
    attempts: Mapped[int] = mapped_column(default=0)
    repeats: Mapped[int] = mapped_column(default=0)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    error: Mapped[str | None] = mapped_column(String(500))
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    processed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class LaneStatistics(Base):
    """A sample of a step for a group of packages, as 41 quantiles in hours.

    `kind` is what was sampled: `remaining` (remaining actual minus remaining planned time),
    `duration` (remaining time without a plan), `step` (duration of a step) or `edge` (transit time
    between two places). `level` is the kind of group from fine to coarse, such as `lane`, and
    `group_key` is its value. `weight` is the sum of the weights of the values, of which newer ones
    have more. `mean` and `share_late` describe the same sample.
    """

    __tablename__ = "lane_statistics"
    __table_args__ = (
        UniqueConstraint("tenant_id", "version", "kind", "level", "group_key", "step"),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(_BIG_KEY, primary_key=True, autoincrement=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    version: Mapped[int]
    kind: Mapped[str] = mapped_column(String(16))
    level: Mapped[str] = mapped_column(String(24))
    group_key: Mapped[str] = mapped_column(String(600))
    step: Mapped[str] = mapped_column(String(64))
    count: Mapped[int]
    quantiles: Mapped[list[float]] = mapped_column(JSON)
    weight: Mapped[float | None] = mapped_column(Float)
    mean: Mapped[float | None] = mapped_column(Float)
    share_late: Mapped[float | None] = mapped_column(Float)


class StatisticsVersion(Base):
    """The newest complete version of a tenant's lane statistics, and figures about it.

    `figures` has the numbers of packages and events that it rests on, and alarm thresholds.
    """

    __tablename__ = "statistics_versions"

    tenant_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[int]
    figures: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    computed_at: Mapped[datetime] = mapped_column(UtcDateTime)


class InvestigationRow(Base):
    """An investigation of a package. `lease_until` is set while a process works on it."""

    __tablename__ = "investigations"
    __table_args__ = (
        Index("ix_investigations_package", "package_id", "created_at", "id"),
        Index("ix_investigations_state", "state", "created_at"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    package_id: Mapped[str] = mapped_column(ForeignKey(_PACKAGE, ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    findings: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    figures: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    text: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    text_source: Mapped[str] = mapped_column(String(100), default="templates")
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    requested_by: Mapped[str] = mapped_column(String(64))
    lease_holder: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    completed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Tour(Base):
    """A request for tours of vehicles, and the tours that were found."""

    __tablename__ = "tours"
    __table_args__ = (
        Index("ix_tours_tenant", "tenant_id", "created_at", "id"),
        Index("ix_tours_state", "state", "created_at"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    request: Mapped[dict[str, Any]] = mapped_column(JSON)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    requested_by: Mapped[str] = mapped_column(String(64))
    lease_holder: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    completed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class TenantUsage(Base):
    """The number of a tenant's packages, for the quota."""

    __tablename__ = "package_usage"

    tenant_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    packages: Mapped[int] = mapped_column(BigInteger, default=0)
