"""Hooks of a tenant."""

import base64
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from backend.chassis.database.sessions import Database, Session, call_after_commit
from backend.chassis.encryption import Encryptor
from backend.services.chat.domain.access import Caller
from backend.services.chat.domain.hook_queue import get_signal
from backend.services.chat.errors import ResourceNotFound
from backend.services.chat.store import hooks as store
from backend.services.chat.store.base import new_id
from backend.services.chat.store.tables import Hook

# Standard Webhooks: 24 to 64 random bytes in base64 after this prefix.
_SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - no password
_SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class HookView:
    """A hook without its secret."""

    id: str
    name: str
    url: str
    events: Sequence[str]
    is_enabled: bool
    disabled_reason: str | None
    failures: int
    failing_since: datetime | None
    created_at: datetime
    updated_at: datetime


class HookService:
    """Hooks of the caller's tenant.

    Args:
        encryptor: seals the secrets.
        announce: signals all processes, after the commit, that hooks have changed.
    """

    def __init__(
        self,
        database: Database,
        encryptor: Encryptor,
        announce: Callable[[str], None],
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._encryptor = encryptor
        self._announce = announce
        self._now = now

    def create_hook(
        self, caller: Caller, name: str, url: str, events: Sequence[str]
    ) -> tuple[HookView, str]:
        """Create a hook. Returns it and its secret, which is not readable later."""
        secret = _SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
        now = self._now()
        with self._database.write(caller.tenant_id) as session:
            hook = Hook(
                id=new_id("hook"),
                tenant_id=caller.tenant_id,
                name=name,
                url=url,
                secret=self._encryptor.encrypt_text(secret),
                events=list(events),
                created_at=now,
                updated_at=now,
            )
            store.add_hook(session, hook)
            self._announce_change(session, caller)
            return _view(hook), secret

    def list_hooks(
        self, caller: Caller, limit: int, after: tuple[datetime, str] | None
    ) -> list[HookView]:
        """Return hooks, newest first."""
        with self._database.read(caller.tenant_id) as session:
            return [
                _view(hook) for hook in store.list_hooks(session, caller.tenant_id, limit, after)
            ]

    def update_hook(
        self,
        caller: Caller,
        hook_id: str,
        name: str | None,
        url: str | None,
        events: Sequence[str] | None,
        *,
        is_enabled: bool | None,
    ) -> HookView:
        """Change a hook. Raises ResourceNotFound."""
        with self._database.write(caller.tenant_id) as session:
            hook = _find(session, caller, hook_id)
            if url is not None or is_enabled:
                hook.failures, hook.failing_since, hook.open_until = 0, None, None
            hook.name = name or hook.name
            hook.url = url or hook.url
            if events is not None:
                hook.events = list(events)
            if is_enabled is not None:
                hook.is_enabled = is_enabled
                hook.disabled_reason = None
            hook.updated_at = self._now()
            self._announce_change(session, caller)
            return _view(hook)

    def delete_hook(self, caller: Caller, hook_id: str) -> None:
        """Delete a hook. Raises ResourceNotFound."""
        with self._database.write(caller.tenant_id) as session:
            store.delete_hook(session, _find(session, caller, hook_id).id)
            self._announce_change(session, caller)

    def _announce_change(self, session: Session, caller: Caller) -> None:
        call_after_commit(session, partial(self._announce, get_signal(caller.tenant_id)))


def _find(session: Session, caller: Caller, hook_id: str) -> Hook:
    hook = store.find_hook(session, caller.tenant_id, hook_id)
    if hook is None:
        raise ResourceNotFound("hook")
    return hook


def _view(hook: Hook) -> HookView:
    return HookView(
        id=hook.id,
        name=hook.name,
        url=hook.url,
        events=hook.events,
        is_enabled=hook.is_enabled,
        disabled_reason=hook.disabled_reason,
        failures=hook.failures,
        failing_since=hook.failing_since,
        created_at=hook.created_at,
        updated_at=hook.updated_at,
    )
