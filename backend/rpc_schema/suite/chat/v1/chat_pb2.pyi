import datetime

from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SendMessageRequest(_message.Message):
    __slots__ = ("content", "user_id", "conversation_id", "client_id", "reply_to_id", "wait")
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    REPLY_TO_ID_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    content: str
    user_id: str
    conversation_id: str
    client_id: str
    reply_to_id: str
    wait: float
    def __init__(self, content: _Optional[str] = ..., user_id: _Optional[str] = ..., conversation_id: _Optional[str] = ..., client_id: _Optional[str] = ..., reply_to_id: _Optional[str] = ..., wait: _Optional[float] = ...) -> None: ...

class SentMessage(_message.Message):
    __slots__ = ("conversation_id", "message", "answer", "status", "error")
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    conversation_id: str
    message: Message
    answer: Message
    status: str
    error: _struct_pb2.Struct
    def __init__(self, conversation_id: _Optional[str] = ..., message: _Optional[_Union[Message, _Mapping]] = ..., answer: _Optional[_Union[Message, _Mapping]] = ..., status: _Optional[str] = ..., error: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class GetConversationRequest(_message.Message):
    __slots__ = ("conversation_id",)
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    conversation_id: str
    def __init__(self, conversation_id: _Optional[str] = ...) -> None: ...

class Conversation(_message.Message):
    __slots__ = ("id", "account_id", "channel", "is_group", "owner_id", "contact_id", "title", "status", "mode", "assignee_id", "last_seq", "change_seq", "read_seq", "created_at", "updated_at", "messages", "participants")
    ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    IS_GROUP_FIELD_NUMBER: _ClassVar[int]
    OWNER_ID_FIELD_NUMBER: _ClassVar[int]
    CONTACT_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    ASSIGNEE_ID_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    CHANGE_SEQ_FIELD_NUMBER: _ClassVar[int]
    READ_SEQ_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANTS_FIELD_NUMBER: _ClassVar[int]
    id: str
    account_id: str
    channel: str
    is_group: bool
    owner_id: str
    contact_id: str
    title: str
    status: str
    mode: str
    assignee_id: str
    last_seq: int
    change_seq: int
    read_seq: int
    created_at: _timestamp_pb2.Timestamp
    updated_at: _timestamp_pb2.Timestamp
    messages: _containers.RepeatedCompositeFieldContainer[Message]
    participants: _containers.RepeatedCompositeFieldContainer[Participant]
    def __init__(self, id: _Optional[str] = ..., account_id: _Optional[str] = ..., channel: _Optional[str] = ..., is_group: _Optional[bool] = ..., owner_id: _Optional[str] = ..., contact_id: _Optional[str] = ..., title: _Optional[str] = ..., status: _Optional[str] = ..., mode: _Optional[str] = ..., assignee_id: _Optional[str] = ..., last_seq: _Optional[int] = ..., change_seq: _Optional[int] = ..., read_seq: _Optional[int] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., messages: _Optional[_Iterable[_Union[Message, _Mapping]]] = ..., participants: _Optional[_Iterable[_Union[Participant, _Mapping]]] = ...) -> None: ...

class Participant(_message.Message):
    __slots__ = ("actor", "read_seq", "joined_at")
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    READ_SEQ_FIELD_NUMBER: _ClassVar[int]
    JOINED_AT_FIELD_NUMBER: _ClassVar[int]
    actor: str
    read_seq: int
    joined_at: _timestamp_pb2.Timestamp
    def __init__(self, actor: _Optional[str] = ..., read_seq: _Optional[int] = ..., joined_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Message(_message.Message):
    __slots__ = ("id", "conversation_id", "seq", "change_seq", "direction", "author", "source", "internal", "client_id", "content", "reply_to_id", "state", "error", "citations", "sent_at", "created_at", "edited_at", "deleted_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    CHANGE_SEQ_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    INTERNAL_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    REPLY_TO_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    CITATIONS_FIELD_NUMBER: _ClassVar[int]
    SENT_AT_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    EDITED_AT_FIELD_NUMBER: _ClassVar[int]
    DELETED_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    conversation_id: str
    seq: int
    change_seq: int
    direction: str
    author: str
    source: str
    internal: bool
    client_id: str
    content: _struct_pb2.Struct
    reply_to_id: str
    state: str
    error: _struct_pb2.Struct
    citations: _containers.RepeatedCompositeFieldContainer[_struct_pb2.Struct]
    sent_at: _timestamp_pb2.Timestamp
    created_at: _timestamp_pb2.Timestamp
    edited_at: _timestamp_pb2.Timestamp
    deleted_at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., conversation_id: _Optional[str] = ..., seq: _Optional[int] = ..., change_seq: _Optional[int] = ..., direction: _Optional[str] = ..., author: _Optional[str] = ..., source: _Optional[str] = ..., internal: _Optional[bool] = ..., client_id: _Optional[str] = ..., content: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., reply_to_id: _Optional[str] = ..., state: _Optional[str] = ..., error: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., citations: _Optional[_Iterable[_Union[_struct_pb2.Struct, _Mapping]]] = ..., sent_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., edited_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., deleted_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListMessagesRequest(_message.Message):
    __slots__ = ("conversation_id", "limit", "after_seq", "before_seq")
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQ_FIELD_NUMBER: _ClassVar[int]
    BEFORE_SEQ_FIELD_NUMBER: _ClassVar[int]
    conversation_id: str
    limit: int
    after_seq: int
    before_seq: int
    def __init__(self, conversation_id: _Optional[str] = ..., limit: _Optional[int] = ..., after_seq: _Optional[int] = ..., before_seq: _Optional[int] = ...) -> None: ...

class MessageList(_message.Message):
    __slots__ = ("items", "has_more")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    HAS_MORE_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Message]
    has_more: bool
    def __init__(self, items: _Optional[_Iterable[_Union[Message, _Mapping]]] = ..., has_more: _Optional[bool] = ...) -> None: ...

class SearchMessagesRequest(_message.Message):
    __slots__ = ("q", "limit", "cursor")
    Q_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    q: str
    limit: int
    cursor: str
    def __init__(self, q: _Optional[str] = ..., limit: _Optional[int] = ..., cursor: _Optional[str] = ...) -> None: ...

class FoundMessages(_message.Message):
    __slots__ = ("items", "next_cursor")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[FoundMessage]
    next_cursor: str
    def __init__(self, items: _Optional[_Iterable[_Union[FoundMessage, _Mapping]]] = ..., next_cursor: _Optional[str] = ...) -> None: ...

class FoundMessage(_message.Message):
    __slots__ = ("message", "conversation")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CONVERSATION_FIELD_NUMBER: _ClassVar[int]
    message: Message
    conversation: Conversation
    def __init__(self, message: _Optional[_Union[Message, _Mapping]] = ..., conversation: _Optional[_Union[Conversation, _Mapping]] = ...) -> None: ...

class SetTypingRequest(_message.Message):
    __slots__ = ("conversation_id", "typing")
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    TYPING_FIELD_NUMBER: _ClassVar[int]
    conversation_id: str
    typing: bool
    def __init__(self, conversation_id: _Optional[str] = ..., typing: _Optional[bool] = ...) -> None: ...

class TypingShown(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchConversationRequest(_message.Message):
    __slots__ = ("conversation_id", "after_change_seq")
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_CHANGE_SEQ_FIELD_NUMBER: _ClassVar[int]
    conversation_id: str
    after_change_seq: int
    def __init__(self, conversation_id: _Optional[str] = ..., after_change_seq: _Optional[int] = ...) -> None: ...

class ConversationEvent(_message.Message):
    __slots__ = ("name", "change_seq", "data")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CHANGE_SEQ_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    name: str
    change_seq: int
    data: _struct_pb2.Struct
    def __init__(self, name: _Optional[str] = ..., change_seq: _Optional[int] = ..., data: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...
