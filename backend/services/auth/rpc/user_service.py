"""gRPC methods for accounts of users."""

from typing import Final

from backend.chassis.rpc.calls import Call
from backend.chassis.rpc.messages import build_message, parse_fields, parse_message, to_document
from backend.chassis.web.paging import PageQuery
from backend.rpc_schema.suite.user.v1 import user_pb2
from backend.security import Permission, authenticated, invalid_field, require_permission
from backend.services.auth.routes.accounts import (
    AccountUpdate,
    change_own_account,
    load_own_account,
)
from backend.services.auth.routes.administration.users import (
    UserQuery,
    load_user,
    load_user_page,
)
from backend.services.auth.routes.audit import load_own_activity
from backend.services.auth.routes.sensitive_operations import ensure_operation_allowed

_MASK: Final = "update_mask"


class UserService:
    """Handlers of suite.user.v1.UserService."""

    @authenticated
    def get_me(self, _request: user_pb2.GetMeRequest, _call: Call) -> user_pb2.User:
        return build_message(user_pb2.User, load_own_account())

    @authenticated
    def update_me(self, request: user_pb2.UpdateMeRequest, _call: Call) -> user_pb2.User:
        changes = parse_fields(AccountUpdate, _get_changed_fields(request))
        ensure_operation_allowed("PATCH /me", changes)
        return build_message(user_pb2.User, change_own_account(changes))

    @require_permission(Permission.USERS_READ)
    def get_user(self, request: user_pb2.GetUserRequest, _call: Call) -> user_pb2.User:
        return build_message(user_pb2.User, load_user(request.user_id))

    @require_permission(Permission.USERS_READ)
    def list_users(self, request: user_pb2.ListUsersRequest, _call: Call) -> user_pb2.UserPage:
        return build_message(user_pb2.UserPage, load_user_page(parse_message(UserQuery, request)))

    @authenticated
    def list_activity(
        self, request: user_pb2.ListActivityRequest, _call: Call
    ) -> user_pb2.ActivityPage:
        return build_message(
            user_pb2.ActivityPage, load_own_activity(parse_message(PageQuery, request))
        )


def _get_changed_fields(request: user_pb2.UpdateMeRequest) -> dict[str, object]:
    """Return the fields to change. A field in the mask without a value is null."""
    fields = to_document(request)
    if fields.pop(_MASK, None) is None:
        return fields
    known = set(AccountUpdate.model_fields)
    if unknown := sorted(set(request.update_mask.paths) - known):
        raise invalid_field(
            f"#/{_MASK}", f"{unknown[0][:64]!r} is not one of {', '.join(sorted(known))}."
        )
    empty: dict[str, object] = {"preferences": {}}
    return {name: fields.get(name, empty.get(name)) for name in request.update_mask.paths}
