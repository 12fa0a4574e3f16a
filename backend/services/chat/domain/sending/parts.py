"""The deliveries of a message, an edit, a deletion or a reaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from backend.services.chat.clients.parts import OutboundPart
from backend.services.chat.domain.rendering.contents import SignLink, render_content

_EDITS: Final = frozenset({"slack", "teams", "telegram"})
_DELETIONS: Final = frozenset({"slack", "teams", "telegram"})
_REACTIONS: Final = frozenset({"whatsapp", "messenger", "slack", "telegram"})
_SUPPORTED: Final[Mapping[str, frozenset[str]]] = {
    "edit": _EDITS,
    "delete": _DELETIONS,
    "reaction": _REACTIONS,
}


@dataclass(frozen=True, slots=True)
class PlannedDelivery:
    """The payload of one delivery, and what the channel shows differently."""

    payload: dict[str, Any]
    degradations: tuple[str, ...]


def get_transport(channel: str, key: str, details: Mapping[str, Any]) -> str:
    """Return the transport of a conversation, such as whatsapp for Twilio, or ""."""
    if channel == "twilio":
        if key.partition(":")[2].startswith("whatsapp:"):
            return "whatsapp"
        return "voice" if key.startswith("call:") else ""
    return str(details.get("platform") or "")


def supports(channel: str, kind: str) -> bool:
    """Return whether *channel* has messages, edits, deletions or reactions, as *kind* says."""
    return kind not in _SUPPORTED or channel in _SUPPORTED[kind]


def plan_deliveries(
    channel: str,
    transport: str,
    kind: str,
    payload: Mapping[str, Any],
    sign_link: SignLink,
) -> list[PlannedDelivery]:
    """Return what is sent, in order; nothing if the channel does not support *kind*.

    Args:
        kind: message, edit, delete or reaction.
        payload: {"content": …}, or {"emoji": …, "action": "add" or "remove"} of a reaction.
    """
    if not supports(channel, kind):
        return []
    if kind == "delete":
        return [_plan(OutboundPart("delete"))]
    if kind == "reaction":
        is_removed = payload.get("action") == "remove" or payload.get("removed") is True
        emoji = str(payload.get("emoji") or "")
        shown = "" if is_removed and channel in {"whatsapp", "messenger"} else emoji
        details = {"removed": True} if is_removed else {}
        return [_plan(OutboundPart("reaction", shown, details=details))]
    rendering = render_content(payload["content"], channel, transport, sign_link=sign_link)
    if kind == "edit":
        # Only the text of the first part can be replaced.
        first = rendering.parts[:1]
        return [
            _plan(
                OutboundPart("edit", part.text, part.plain_text, part.options, part.as_list),
                rendering.degradations,
            )
            for part in first
        ]
    return [_plan(part, rendering.degradations) for part in rendering.parts]


def _plan(part: OutboundPart, degradations: tuple[str, ...] = ()) -> PlannedDelivery:
    return PlannedDelivery({"part": part.to_payload()}, degradations)
