"""Tools that other services of the suite declare, called with the caller's own rights."""

import asyncio
import json
import logging
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from pydantic import ValidationError

from backend.chassis.http import ServiceClient, UpstreamError, UpstreamRefused, segment
from backend.chassis.web.agent_tools import DeclaredTool, DeclaredTools
from backend.security.permissions import ON_BEHALF
from backend.services.agent.clients.arguments import ForeignSchema
from backend.services.agent.clients.framing import framed
from backend.services.agent.clients.runs import Caller, Outcome, Setting, Tool
from backend.services.agent.clients.toolbox import Listing
from backend.services.agent.errors import ToolFailed, ToolRefused

_log = logging.getLogger(__name__)

_PLACE = re.compile(r"\{(\w+)\}")


class SiblingTools:
    """The tools of all services that declare some."""

    def __init__(self, services: Mapping[str, ServiceClient], our_name: str) -> None:
        self._listings = [
            Listing(name, _Sibling(name, client, our_name).tools)
            for name, client in services.items()
        ]

    async def tools(self, caller: Caller) -> list[Tool]:  # noqa: ARG002 - each tool knows for whom
        """Every tool; each says which permission its caller needs."""
        found = await asyncio.gather(*(listing.tools() for listing in self._listings))
        return [tool for tools in found for tool in tools]


class _Sibling:
    """One service."""

    def __init__(self, name: str, client: ServiceClient, our_name: str) -> None:
        self._name = name
        self._client = client
        self._may = ON_BEHALF.get(our_name, frozenset())

    async def tools(self) -> list[Tool]:
        answer = await asyncio.to_thread(self._client.get, "/tools.json", {})
        try:
            declared = DeclaredTools.model_validate(answer).tools
            return [self._tool(each) for each in declared if self._is_ours(each)]
        except (ValidationError, ValueError) as error:
            raise ToolFailed(f"What {self._name} declares are no tools.") from error

    def _is_ours(self, declared: DeclaredTool) -> bool:
        if declared.permission is None or declared.permission in self._may:
            return True
        _log.warning(
            "tool %s of %s is left out: no agent may use %s for a user; see ON_BEHALF",
            declared.name,
            self._name,
            declared.permission,
        )
        return False

    def _tool(self, declared: DeclaredTool) -> Tool:
        async def run(given: Mapping[str, Any], setting: Setting) -> Outcome:
            return await asyncio.to_thread(self._call, declared, given, setting.caller)

        needed = () if declared.permission is None else (declared.permission,)
        return Tool(
            name=f"{self._name}_{declared.name}",
            description=declared.description,
            arguments=ForeignSchema(declared.parameters),
            run=run,
            side_effects=declared.side_effects,
            permissions=frozenset(needed),
            source=f"service:{self._name}",
        )

    def _call(self, declared: DeclaredTool, given: Mapping[str, Any], caller: Caller) -> Outcome:
        places = _PLACE.findall(declared.path)
        path = _PLACE.sub(lambda found: segment(str(given[found[1]])), declared.path)
        rest = {name: each for name, each in given.items() if name not in places}
        body = rest if declared.has_body else None
        if rest and body is None:
            path = f"{path}?{urlencode(rest, doseq=True)}"
        try:
            answer = self._client.send(declared.method, path, body, caller.headers)
        except UpstreamRefused as error:
            told = f"The {self._name} service refused: {error.detail or error.code}"
            if error.status in {401, 403}:
                raise ToolRefused("not_granted", told) from error
            raise ToolFailed(told) from error
        except UpstreamError as error:
            raise ToolFailed(f"The {self._name} service does not answer just now.") from error
        text = "(done)" if answer is None else json.dumps(answer, ensure_ascii=False)
        return Outcome(framed("result", text, self._name))
