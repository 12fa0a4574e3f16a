from backend.rpc_schema.suite.ai.v1 import answer_pb2 as _answer_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ProcessMessageRequest(_message.Message):
    __slots__ = ("message", "session_id", "collection", "persona", "model", "on_busy")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    PERSONA_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ON_BUSY_FIELD_NUMBER: _ClassVar[int]
    message: str
    session_id: str
    collection: str
    persona: str
    model: str
    on_busy: _answer_pb2.OnBusy
    def __init__(self, message: _Optional[str] = ..., session_id: _Optional[str] = ..., collection: _Optional[str] = ..., persona: _Optional[str] = ..., model: _Optional[str] = ..., on_busy: _Optional[_Union[_answer_pb2.OnBusy, str]] = ...) -> None: ...
