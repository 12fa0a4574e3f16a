"""The gRPC services of the agent."""

from backend.chassis.rpc.services import RpcService
from backend.rpc_schema.suite.ai.v1 import ai_pb2
from backend.rpc_schema.suite.mcp.v1 import mcp_pb2
from backend.services.agent.rpc.ai_service import AiService
from backend.services.agent.rpc.mcp_engine import McpEngine

SERVICES = (
    RpcService(ai_pb2.DESCRIPTOR.services_by_name["AiService"], AiService()),
    RpcService(mcp_pb2.DESCRIPTOR.services_by_name["McpEngine"], McpEngine()),
)
