"""Tickets: single-use credentials for connections that cannot send headers."""

import json
import secrets
from typing import Any

from backend.security import Principal
from backend.security.revocation import SessionClaims
from backend.services.realtime.model import Broker

TICKET_SECONDS = 30
_MAX_TICKET_CHARACTERS = 64


async def issue_ticket(broker: Broker, principal: Principal) -> str:
    """Return a new ticket of *principal*, valid once within TICKET_SECONDS.

    Raises:
        BrokerUnavailable: the broker does not respond.
    """
    ticket = secrets.token_urlsafe(24)
    await broker.put_ticket(ticket, _to_json(principal), TICKET_SECONDS)
    return ticket


async def redeem_ticket(broker: Broker, ticket: str) -> Principal | None:
    """Return the principal of *ticket* and invalidate it; None if it is unknown or was used.

    Raises:
        BrokerUnavailable: the broker does not respond.
    """
    if not 0 < len(ticket) <= _MAX_TICKET_CHARACTERS or not ticket.isascii():
        return None
    value = await broker.take_ticket(ticket)
    return None if value is None else _from_json(value)


def _to_json(principal: Principal) -> str:
    claims = principal.session_claims
    return json.dumps(
        {
            "user": principal.user_id,
            "tenant": principal.tenant_id,
            "session": principal.session_id,
            "permissions": sorted(principal.permissions),
            "generations": [claims.user_generation, claims.tenant_generation],
            "expires_at": principal.expires_at,
        }
    )


def _from_json(text: str) -> Principal:
    fields: dict[str, Any] = json.loads(text)
    user_generation, tenant_generation = fields["generations"]
    user, tenant, session = fields["user"], fields["tenant"], fields["session"]
    return Principal(
        user_id=user,
        tenant_id=tenant,
        session_id=session,
        permissions=frozenset(fields["permissions"]),
        session_claims=SessionClaims(session, user, user_generation, tenant, tenant_generation),
        expires_at=fields["expires_at"],
    )
