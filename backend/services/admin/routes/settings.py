"""Routes for the settings of the installation, which are read-only."""

from flask import Blueprint
from pydantic import BaseModel

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import responds_with
from backend.security import Permission, require_permission
from backend.services.admin.domain.settings_report import SettingsReport

settings_routes = Blueprint("settings", __name__)


class SettingResponse(BaseModel):
    """A setting. Secrets that are set have the value `(set)`.

    `origin` is `environment`, the name of a `.env` file, or `default`.
    """

    name: str
    value: str
    origin: str


class SettingList(BaseModel):
    items: list[SettingResponse]


class LimitResponse(BaseModel):
    """A limit: the variable that sets it, what it applies to, and its value."""

    name: str
    scope: str
    value: str
    origin: str


class LimitList(BaseModel):
    items: list[LimitResponse]


@settings_routes.get("/settings")
@require_permission(Permission.SYSTEM_READ)
@responds_with(SettingList)
def get_settings() -> SettingList:
    """List the settings with their values and origins, as `doctor` prints them."""
    return SettingList(
        items=[
            SettingResponse.model_validate(setting, from_attributes=True)
            for setting in use(SettingsReport).settings
        ]
    )


@settings_routes.get("/limits")
@require_permission(Permission.SYSTEM_READ)
@responds_with(LimitList)
def get_limits() -> LimitList:
    """List the limits of requests, tokens, uploads and connections.

    Routes of the gateway's route table (GATEWAY_ROUTES) may have others.
    """
    return LimitList(
        items=[
            LimitResponse.model_validate(limit, from_attributes=True)
            for limit in use(SettingsReport).list_limits()
        ]
    )
