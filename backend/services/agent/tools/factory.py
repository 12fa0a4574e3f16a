"""Create the agent's own tools."""

from collections.abc import Callable
from datetime import datetime

from backend.services.agent.clients.packages_client import PackagesClient
from backend.services.agent.clients.page_fetcher import PageFetcher
from backend.services.agent.clients.rag_client import RagClient
from backend.services.agent.model import Tool
from backend.services.agent.tools import calculator, clock, documents, web_pages
from backend.services.agent.tools.packages import create_package_tools


def create_tools(
    rag: RagClient,
    now: Callable[[], datetime],
    page_fetcher: PageFetcher | None,
    packages: PackagesClient | None = None,
) -> tuple[Tool, ...]:
    """Return the agent's own tools.

    Args:
        rag: client of the rag service, used by the document tools.
        now: returns the current time with a time zone.
        page_fetcher: fetches web pages; with None there is no fetch_page tool.
        packages: client of the packages service; with None there are no package tools.
    """
    tools: tuple[Tool, ...] = (
        documents.create_search_tool(rag),
        documents.create_list_tool(rag),
        documents.create_read_tool(rag),
        documents.create_note_tool(rag),
        calculator.create_calculator_tool(),
        clock.create_clock_tool(now),
    )
    if packages is not None:
        tools += create_package_tools(packages)
    if page_fetcher is None:
        return tools
    return (*tools, web_pages.create_fetch_tool(page_fetcher))
