"""The gRPC services of the chat service."""

from backend.chassis.rpc.services import RpcService
from backend.rpc_schema.suite.chat.v1 import chat_pb2
from backend.services.chat.rpc.chat_service import ChatService

SERVICES = (RpcService(chat_pb2.DESCRIPTOR.services_by_name["ChatService"], ChatService()),)
