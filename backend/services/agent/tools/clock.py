"""Tool that returns the current date and time."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from pydantic import Field

from backend.services.agent.clients.tool_arguments import PydanticArguments, StrictArguments
from backend.services.agent.errors import ToolFailed
from backend.services.agent.model import Tool, ToolContext, ToolResult
from backend.services.agent.tools.date_texts import format_moment
from backend.services.agent.tools.time_zones import find_time_zone

CURRENT_TIME: Final = "current_time"


# The class name is the title of the JSON schema, which models see.
class TimeArguments(StrictArguments):
    timezone: Annotated[
        str, Field(max_length=64, description="An IANA name such as Europe/Berlin.")
    ] = "UTC"


def create_clock_tool(now: Callable[[], datetime]) -> Tool:
    """Return the tool `current_time`. *now* returns the current time with a time zone."""

    async def run(arguments: TimeArguments, context: ToolContext) -> ToolResult:
        zone = find_time_zone(arguments.timezone)
        if zone is None:
            raise ToolFailed("Unknown time zone. Use an IANA name such as Europe/Berlin.")
        local = now().astimezone(ZoneInfo(zone))
        return ToolResult(format_moment(local, zone, context.language))

    return Tool(
        name=CURRENT_TIME,
        description="Tell the date and time, in UTC or another time zone.",
        arguments=PydanticArguments(TimeArguments),
        run=run,
        is_computation=True,
    )
