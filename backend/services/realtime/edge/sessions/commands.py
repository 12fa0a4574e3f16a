"""Schemas of the commands of Centrifuge's client protocol.

Fields that the service does not use are ignored: the SDKs send more than it needs.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

_MAX_TOKEN_CHARACTERS = 8192
_MAX_NAME_CHARACTERS = 128

Channel = Annotated[str, Field(max_length=_MAX_NAME_CHARACTERS)]
Epoch = Annotated[str, Field(max_length=64)]
Offset = Annotated[int, Field(ge=0, lt=2**63)]


class _Request(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class ConnectRequest(_Request):
    """The first command of a connection."""

    token: Annotated[str, Field(max_length=_MAX_TOKEN_CHARACTERS)] = ""


class SubscribeRequest(_Request):
    """Subscribe to a topic, or resume after a position."""

    channel: Channel
    recover: bool = False
    epoch: Epoch = ""
    offset: Offset = 0


class ChannelRequest(_Request):
    """A command about one topic."""

    channel: Channel


class StreamPosition(_Request):
    """A position in the history of a topic."""

    epoch: Epoch = ""
    offset: Offset = 0


class HistoryRequest(_Request):
    """Read the history of a topic."""

    channel: Channel
    limit: Annotated[int, Field(ge=-1, lt=2**31)] = 0
    since: StreamPosition | None = None
    reverse: bool = False


class RefreshRequest(_Request):
    """Replace the token of the connection."""

    token: Annotated[str, Field(max_length=_MAX_TOKEN_CHARACTERS)]


class RpcRequest(_Request):
    """Call a method of the service."""

    method: Annotated[str, Field(max_length=64)]
    data: Any = None


class TypingNotice(_Request):
    """The caller types, or has stopped typing, in a conversation."""

    conversation_id: Annotated[str, Field(min_length=1, max_length=64)]
    typing: bool = True


class Command(_Request):
    """One command. Exactly one of the members besides `id` is set."""

    id: Annotated[int, Field(ge=0, lt=2**32)] = 0
    connect: ConnectRequest | None = None
    subscribe: SubscribeRequest | None = None
    unsubscribe: ChannelRequest | None = None
    publish: dict[str, Any] | None = None
    presence: ChannelRequest | None = None
    presence_stats: ChannelRequest | None = None
    history: HistoryRequest | None = None
    refresh: RefreshRequest | None = None
    rpc: RpcRequest | None = None


def parse_command(line: str) -> Command | None:
    """Return the command in *line*, or None if it is not a valid one."""
    try:
        return Command.model_validate_json(line)
    except ValidationError:
        return None


def parse_typing(data: object) -> TypingNotice | None:
    """Return the typing notice in *data*, or None if it is not a valid one."""
    try:
        return TypingNotice.model_validate(data)
    except ValidationError:
        return None
