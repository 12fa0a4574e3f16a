"""The topics that clients can subscribe to, their permissions and how they are stored."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from backend.chassis.messaging.topics import (
    RUN_RETENTION,
    Retention,
    tenant_stream,
    user_stream,
)
from backend.security import Permission, Principal

_WEEK_SECONDS = 7 * 86400
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
MAX_TOPIC_CHARACTERS = 128


_STREAM = Retention()


class Scope(Enum):
    """Users that share one stream of a topic."""

    TENANT = "tenant"
    USER = "user"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class TopicKind:
    """A topic, or a family of topics whose names end in an id.

    Attributes:
        name: the name; it ends in a colon for a family.
        permission: permission that subscribers need, or None if any user may subscribe.
        scope: with USER, each user has a stream of their own and sees only own publications.
        retention: how publications are stored.
        presence: True if subscribers see each other.
    """

    name: str
    permission: Permission | None
    scope: Scope = Scope.TENANT
    retention: Retention = _STREAM
    presence: bool = False

    @property
    def is_family(self) -> bool:
        return self.name.endswith(":")


_LATEST = Retention(max_entries=5000, by_key=True)
TOPIC_KINDS = (
    TopicKind("packages", Permission.PACKAGES_READ),
    TopicKind("packages:", Permission.PACKAGES_READ),
    TopicKind("map", Permission.PACKAGES_READ, retention=_LATEST),
    TopicKind("dashboard", Permission.PACKAGES_READ, retention=_LATEST),
    TopicKind("agents", Permission.AGENT_QUERY, Scope.USER),
    TopicKind("agents:", Permission.AGENT_QUERY, Scope.USER, RUN_RETENTION),
    TopicKind("chat:conversation:", Permission.CHAT_READ, presence=True),
    TopicKind("chat:inbox", Permission.CHAT_READ, presence=True),
    TopicKind("user", None, Scope.USER, Retention(seconds=_WEEK_SECONDS)),
    TopicKind("system", Permission.SYSTEM_READ, Scope.SYSTEM),
)
_EXACT = {kind.name: kind for kind in TOPIC_KINDS if not kind.is_family}
# Longest first: a name belongs to the family with the longest prefix.
_FAMILIES = sorted((k for k in TOPIC_KINDS if k.is_family), key=lambda k: -len(k.name))


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as one caller sees it.

    Attributes:
        name: the name that clients use.
        stream: the name of its stream in the broker, which includes tenant and user.
    """

    name: str
    stream: str
    kind: TopicKind


class UnknownTopic(Exception):
    """No topic has this name."""


class TopicForbidden(Exception):
    """The caller lacks the permission of the topic."""


def find_kind(name: str) -> TopicKind:
    """Return the kind of the topic *name*.

    Raises:
        UnknownTopic: no kind has this name.
    """
    kind = _EXACT.get(name)
    if kind is not None:
        return kind
    for family in _FAMILIES:
        if name.startswith(family.name) and _ID.fullmatch(name[len(family.name) :]):
            return family
    raise UnknownTopic


def resolve_topic(name: str, principal: Principal) -> Topic:
    """Return the topic *name* as *principal* sees it.

    Raises:
        UnknownTopic: no topic has this name.
        TopicForbidden: the principal lacks its permission.
    """
    kind = find_kind(name)
    if kind.permission is not None and kind.permission not in principal.permissions:
        raise TopicForbidden
    return Topic(name, build_stream_name(kind, name, principal.tenant_id, principal.user_id), kind)


def build_stream_name(kind: TopicKind, name: str, tenant_id: str, user_id: str) -> str:
    """Return the stream of the topic *name* in the broker.

    The tenant and the user come first and never from a client, so that no topic name leads to the
    stream of another tenant or user.
    """
    match kind.scope:
        case Scope.SYSTEM:
            return tenant_stream("", name)
        case Scope.USER:
            return user_stream(tenant_id, user_id, name)
        case Scope.TENANT:
            return tenant_stream(tenant_id, name)


def list_kinds(principal: Principal) -> Iterator[TopicKind]:
    """Yield the kinds of topics that *principal* may subscribe to."""
    for kind in TOPIC_KINDS:
        if kind.permission is None or kind.permission in principal.permissions:
            yield kind
