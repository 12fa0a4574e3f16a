"""Approvals of tool calls: valid for a limited time and for exactly the calls that were shown."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self
from uuid import uuid4

from backend.services.agent.errors import ApprovalChanged


@dataclass(frozen=True, slots=True)
class Approval:
    """Pending approval of tool calls. Every pause of a run gets a new id."""

    id: str
    expires_at: datetime

    def to_json(self) -> dict[str, str]:
        """Return the approval in the format that from_json reads."""
        return {"id": self.id, "expires_at": self.expires_at.isoformat()}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Return the approval that to_json stored."""
        return cls(stored["id"], datetime.fromisoformat(stored["expires_at"]))

    def verify_id(self, approval_id: str | None) -> None:
        """Raise ApprovalChanged if *approval_id* is neither None nor the id of this approval."""
        if approval_id not in {None, self.id}:
            raise ApprovalChanged


@dataclass(frozen=True, slots=True)
class ApprovalFactory:
    """Creates approvals that expire after *lifetime*."""

    now: Callable[[], datetime]
    lifetime: timedelta

    def create_approval(self) -> Approval:
        """Return a new approval with a random id."""
        return Approval(f"appr_{uuid4().hex}", self.now() + self.lifetime)
