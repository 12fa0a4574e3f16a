"""Route that searches messages."""

from typing import Annotated

from flask import Blueprint
from pydantic import Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import request_example, responds_with
from backend.chassis.web.paging import PageQuery, paginate
from backend.security import Permission, VisibleText, require_permission, validate_query
from backend.services.chat.domain.search import SearchService
from backend.services.chat.routes.request_caller import get_caller
from backend.services.chat.routes.schemas import (
    ConversationResponse,
    MessageResponse,
    SearchHitResponse,
    SearchResponse,
)

search = Blueprint("search", __name__)


class SearchQuery(PageQuery):
    """Words that a message must contain."""

    q: Annotated[str, Field(min_length=1, max_length=200), VisibleText]


@search.get("/search")
@require_permission(Permission.CHAT_USE)
@validate_query(SearchQuery)
@responds_with(SearchResponse)
@request_example(q="first computer program")
def search_messages(query: SearchQuery) -> SearchResponse:
    """Search messages that contain all words, newest first.

    With `chat:read` those of the tenant, otherwise those of the caller's own conversations. Case
    and accents make no difference.
    """
    return find_messages(query)


def find_messages(query: SearchQuery) -> SearchResponse:
    """Return the page of messages that *query* selects."""
    cursor = query.decode_cursor()
    before = int(cursor[0]) if cursor else None
    hits = use(SearchService).search_messages(get_caller(), query.q, query.limit + 1, before)
    page, next_cursor = paginate(hits, query.limit, lambda item: (str(item[0]),))
    return SearchResponse(
        items=[
            SearchHitResponse(
                message=MessageResponse.from_view(hit.message),
                conversation=ConversationResponse.from_view(hit.conversation),
                highlights=hit.highlights,
            )
            for _, hit in page
        ],
        next_cursor=next_cursor,
    )
