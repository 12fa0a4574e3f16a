"""From where the request in hand came."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address

from flask import request

from backend.chassis.service import use
from backend.security.refusals import request_id
from backend.services.auth.domain.audit import Origin


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """Whose word about the caller's address is taken."""

    networks: Sequence[IPv4Network | IPv6Network]

    def include(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self.networks)


def origin() -> Origin:
    return Origin(
        address=_address(use(TrustedProxies)),
        user_agent=request.user_agent.string,
        request_id=request_id(),
    )


def _address(trusted: TrustedProxies) -> str:
    """The nearest address that is no proxy of ours, walking X-Forwarded-For from the right."""
    nearest = request.remote_addr or ""
    for hop in reversed(request.headers.get("X-Forwarded-For", "").split(",")):
        if not trusted.include(nearest):
            break
        try:
            nearest = str(ip_address(hop.strip()))
        except ValueError:
            break
    return nearest
