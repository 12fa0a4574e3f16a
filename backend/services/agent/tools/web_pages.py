"""Tool that reads web pages."""

from typing import Annotated, Final

from pydantic import Field

from backend.ai.prompt_framing import frame_untrusted_text
from backend.services.agent.clients.page_fetcher import PageFetcher
from backend.services.agent.clients.tool_arguments import PydanticArguments, StrictArguments
from backend.services.agent.model import Tool, ToolContext, ToolResult

FETCH_PAGE: Final = "fetch_page"


# The class name is the title of the JSON schema, which models see.
class FetchArguments(StrictArguments):
    url: Annotated[
        str,
        Field(min_length=1, max_length=2_048, description="An address that the user has named."),
    ]


def create_fetch_tool(page_fetcher: PageFetcher) -> Tool:
    """Return the tool `fetch_page`."""

    async def run(arguments: FetchArguments, _: ToolContext) -> ToolResult:
        page = await page_fetcher.fetch_page(arguments.url)
        text = f"{page.title}\n\n{page.text}".strip() or "(no text)"
        return ToolResult(
            frame_untrusted_text("page", text, {"from": arguments.url}), identifiers=page.links
        )

    return Tool(
        name=FETCH_PAGE,
        description="Read a page of the web, by the address that the user gave.",
        arguments=PydanticArguments(FetchArguments),
        run=run,
        # Only URLs that the user or a tool result named: a URL composed by the model could carry
        # data that it has read to another server.
        identifier_arguments=frozenset({"url"}),
    )
