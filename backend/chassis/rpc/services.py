"""Declaration of gRPC services and their methods.

The handlers of a service are the methods of one object, with the names of the gRPC methods in snake
case: `get_me` serves `GetMe`. Each has a guard as the views of routes have: `@require_permission`,
`@authenticated`, `@public` or `@internal_only`. It gets the request message and the call. A
handler of a stream returns an iterator of messages; None means that there is none for a moment, and
must be returned at least once a second.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from backend.chassis.rpc.messages import malformed_message
from backend.security.guards import Guard, get_guard

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class RpcService:
    """A service of the interface, and the object with its handlers."""

    descriptor: ServiceDescriptor
    handlers: object

    @property
    def name(self) -> str:
        """Full name, such as `suite.user.v1.UserService`."""
        return str(self.descriptor.full_name)


@dataclass(frozen=True, slots=True)
class RpcMethod:
    """A method with its handler.

    Attributes:
        is_reading: whether the interface declares that the method changes nothing.
    """

    service_name: str
    name: str
    request_type: type[Message]
    response_type: type[Message]
    handler: Callable[[Any, Any], Any]
    guard: Guard
    is_stream: bool
    is_reading: bool

    @property
    def path(self) -> str:
        return f"/{self.service_name}/{self.name}"

    def parse_request(self, content: bytes) -> Message:
        """Return the request message.

        Raises:
            HttpError: 400, *content* is not of the type of the request.
        """
        try:
            return self.request_type.FromString(content)
        except DecodeError as error:
            raise malformed_message("The request is not a message of this method.") from error


def list_methods(service: RpcService) -> Iterator[RpcMethod]:
    """Yield the methods of *service*.

    Raises:
        RuntimeError: a method has no handler, its handler declares no guard, or it receives a
            stream.
    """
    for method in service.descriptor.methods:
        path = f"/{service.name}/{method.name}"
        handler = getattr(service.handlers, _WORD_START.sub("_", method.name).lower(), None)
        if handler is None:
            raise RuntimeError(f"{path} has no handler in {type(service.handlers).__name__}.")
        guard = get_guard(handler)
        if guard is None:
            raise RuntimeError(
                f"{path} declares no guard. Put @require_permission(…), @authenticated, @public or "
                "@internal_only on its handler."
            )
        if method.client_streaming:
            raise RuntimeError(f"{path} receives a stream, which no service supports.")
        yield RpcMethod(
            service.name,
            method.name,
            GetMessageClass(method.input_type),
            GetMessageClass(method.output_type),
            handler,
            guard,
            is_stream=method.server_streaming,
            is_reading=_is_reading(method),
        )


def _is_reading(method: MethodDescriptor) -> bool:
    options = method.GetOptions()
    return bool(options.idempotency_level == MethodOptions.NO_SIDE_EFFECTS)
