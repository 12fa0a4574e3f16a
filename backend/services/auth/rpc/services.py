"""The gRPC services of auth."""

from backend.chassis.rpc.services import RpcService
from backend.rpc_schema.suite.security.v1 import security_pb2
from backend.rpc_schema.suite.user.v1 import user_pb2
from backend.services.auth.rpc.security_hub import SecurityHub
from backend.services.auth.rpc.user_service import UserService

SERVICES = (
    RpcService(security_pb2.DESCRIPTOR.services_by_name["SecurityHub"], SecurityHub()),
    RpcService(user_pb2.DESCRIPTOR.services_by_name["UserService"], UserService()),
)
