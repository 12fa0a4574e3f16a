"""What a person is asked to approve: for a while, and just what they were shown."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self
from uuid import uuid4

from backend.services.agent.errors import ApprovalChanged


@dataclass(frozen=True, slots=True)
class Approval:
    """Tool calls that wait. The id names these calls: others that wait later have another."""

    id: str
    expires_at: datetime

    def kept(self) -> dict[str, str]:
        """As JSON."""
        return {"id": self.id, "expires_at": self.expires_at.isoformat()}

    @classmethod
    def read(cls, kept: Mapping[str, Any]) -> Self:
        return cls(kept["id"], datetime.fromisoformat(kept["expires_at"]))

    def meant_by(self, approval_id: str | None) -> None:
        """ApprovalChanged if the caller decided on something else than this."""
        if approval_id not in {None, self.id}:
            raise ApprovalChanged


@dataclass(frozen=True, slots=True)
class Approvals:
    """How long a decision is waited for."""

    now: Callable[[], datetime]
    lasting: timedelta

    def ask(self) -> Approval:
        """A new one, for what waits from now on."""
        return Approval(f"appr_{uuid4().hex}", self.now() + self.lasting)
