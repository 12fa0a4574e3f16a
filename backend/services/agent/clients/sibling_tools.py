"""Tools that other services declare, called over HTTP with the caller's own permissions."""

import asyncio
import json
import logging
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from pydantic import ValidationError

from backend.ai.prompt_framing import frame_untrusted_text
from backend.chassis.http import ServiceClient, UpstreamError, UpstreamProblem, quote_path_segment
from backend.chassis.web.agent_tools import DeclaredTool, DeclaredTools
from backend.security.permissions import DELEGATED_PERMISSIONS
from backend.services.agent.clients.tool_arguments import JsonSchemaArguments
from backend.services.agent.clients.tool_listing import ToolListing
from backend.services.agent.errors import ToolFailed, ToolRefused
from backend.services.agent.model import Caller, Tool, ToolContext, ToolResult

_log = logging.getLogger(__name__)

_PATH_PARAMETER = re.compile(r"\{(\w+)\}")


class SiblingTools:
    """The tools of all services that declare tools.

    Args:
        services: clients of these services by name.
        own_service_name: full name of this service, by which its delegated permissions are found.
    """

    def __init__(self, services: Mapping[str, ServiceClient], own_service_name: str) -> None:
        self._listings = [
            ToolListing(name, _SiblingClient(name, client, own_service_name).list_tools)
            for name, client in services.items()
        ]

    async def list_tools(self, caller: Caller) -> list[Tool]:  # noqa: ARG002 - part of ToolSource
        """Return all tools. *caller* can use only those whose `permissions` it has."""
        listings = await asyncio.gather(*(listing.get_tools() for listing in self._listings))
        return [tool for listing in listings for tool in listing]


class _SiblingClient:
    """Lists and calls the tools of one service."""

    def __init__(self, name: str, client: ServiceClient, own_service_name: str) -> None:
        self._name = name
        self._client = client
        self._delegated_permissions = DELEGATED_PERMISSIONS.get(own_service_name, frozenset())

    async def list_tools(self) -> list[Tool]:
        response = await asyncio.to_thread(self._client.get, "/tools.json", {})
        try:
            declared_tools = DeclaredTools.model_validate(response).tools
            return [
                self._to_tool(declared) for declared in declared_tools if self._may_call(declared)
            ]
        except (ValidationError, ValueError) as error:
            raise ToolFailed(f"The tool list of {self._name} is invalid.") from error

    def _may_call(self, declared: DeclaredTool) -> bool:
        """Return whether the agent may use the tool's permission on behalf of a user."""
        if declared.permission is None or declared.permission in self._delegated_permissions:
            return True
        _log.warning(
            "skipping tool %s of %s: %s is not in DELEGATED_PERMISSIONS of the agent",
            declared.name,
            self._name,
            declared.permission,
        )
        return False

    def _to_tool(self, declared: DeclaredTool) -> Tool:
        async def run(arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
            return await asyncio.to_thread(self._call_tool, declared, arguments, context.caller)

        permissions = () if declared.permission is None else (declared.permission,)
        return Tool(
            name=f"{self._name}_{declared.name}",
            description=declared.description,
            arguments=JsonSchemaArguments(declared.parameters),
            run=run,
            side_effects=declared.side_effects,
            permissions=frozenset(permissions),
            source=f"service:{self._name}",
        )

    def _call_tool(
        self, declared: DeclaredTool, arguments: Mapping[str, Any], caller: Caller
    ) -> ToolResult:
        """Send the request: path parameters into the path, the rest into the body or the query."""
        path_parameters = _PATH_PARAMETER.findall(declared.path)
        path = _PATH_PARAMETER.sub(
            lambda match: quote_path_segment(str(arguments[match[1]])), declared.path
        )
        other_arguments = {
            name: value for name, value in arguments.items() if name not in path_parameters
        }
        body = other_arguments if declared.has_body else None
        if other_arguments and body is None:
            path = f"{path}?{urlencode(other_arguments, doseq=True)}"
        try:
            response = self._client.send_json(declared.method, path, body, caller.headers)
        except UpstreamProblem as error:
            message = f"The {self._name} service rejected the call: {error.detail or error.code}"
            if error.status in {401, 403}:
                raise ToolRefused("not_granted", message) from error
            raise ToolFailed(message) from error
        except UpstreamError as error:
            raise ToolFailed(
                f"The {self._name} service does not respond. Try again later."
            ) from error
        text = "(done)" if response is None else json.dumps(response, ensure_ascii=False)
        return ToolResult(frame_untrusted_text("result", text, {"from": self._name}))
