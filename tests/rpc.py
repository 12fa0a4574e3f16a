"""gRPC servers of tests, and clients that need no generated stubs."""

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple

import grpc
from flask import Flask
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from backend.chassis.rpc.server import RpcServer
from backend.chassis.rpc.services import RpcService
from backend.chassis.rpc.settings import RpcServerSettings

DETAIL_TYPES = (
    error_details_pb2.ErrorInfo,
    error_details_pb2.BadRequest,
    error_details_pb2.RetryInfo,
)

WITHOUT_DRAIN = RpcServerSettings(drain=timedelta(0))


class Failure(NamedTuple):
    """Status of a failed call; `details` are its messages by type."""

    code: grpc.StatusCode
    reason: str
    message: str
    details: Mapping[str, Any]
    request_id: str


class RpcClient:
    """Calls the methods of *services* by name."""

    def __init__(self, channel: grpc.Channel, services: Sequence[RpcService]) -> None:
        self.channel = channel
        self._methods: dict[str, tuple[str, MethodDescriptor]] = {
            method.name: (f"/{service.name}/{method.name}", method)
            for service in services
            for method in service.descriptor.methods
        }

    def call(
        self,
        name: str,
        headers: Mapping[str, str] | None = None,
        *,
        timeout: float | None = 20,
        **fields: object,
    ) -> Any:
        """Call the method *name* and return its response, or the stream of its responses."""
        path, method = self._methods[name]
        request_type: type[Message] = GetMessageClass(method.input_type)
        open_call = (
            self.channel.unary_stream if method.server_streaming else self.channel.unary_unary
        )
        return open_call(
            path,
            request_serializer=request_type.SerializeToString,
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )(
            request_type(**fields),
            timeout=timeout,
            metadata=[(key.lower(), value) for key, value in (headers or {}).items()],
        )

    def get_code(
        self, name: str, headers: Mapping[str, str] | None = None, **options: Any
    ) -> grpc.StatusCode:
        """Call the method *name* and return the code of its status."""
        try:
            self.call(name, headers, **options)
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
        return grpc.StatusCode.OK

    def fail(self, name: str, headers: Mapping[str, str] | None = None, **options: Any) -> Failure:
        """Call the method *name*, which must fail, and return its status."""
        try:
            response = self.call(name, headers, **options)
            received = response if isinstance(response, Message) else list(response)
        except grpc.RpcError as error:
            return to_failure(error)
        raise AssertionError(f"{name} succeeded: {received}")


def to_failure(error: grpc.RpcError) -> Failure:
    details = {}
    status = rpc_status.from_call(error)
    for packed in () if status is None else status.details:
        for kind in DETAIL_TYPES:
            if packed.Is(kind.DESCRIPTOR):
                detail = kind()
                packed.Unpack(detail)
                details[kind.__name__] = detail
    info = details.get("ErrorInfo")
    trailers = dict(error.trailing_metadata() or ())
    return Failure(
        error.code(),
        info.reason if info else "",
        error.details(),
        details,
        trailers.get("x-request-id", ""),
    )


@contextmanager
def run_rpc_server(
    app: Flask,
    services: Sequence[RpcService],
    settings: RpcServerSettings | None = None,
    redis_url: str | None = None,
    listener: socket.socket | None = None,
) -> Iterator[RpcServer]:
    server = RpcServer(app, services, settings or WITHOUT_DRAIN, redis_url, listener)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def connect(server: RpcServer, services: Sequence[RpcService]) -> Iterator[RpcClient]:
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield RpcClient(channel, services)
