"""Search of messages."""

from collections.abc import Sequence

from backend.chassis.database.sessions import Database
from backend.services.chat.domain.access import Caller
from backend.services.chat.domain.content_text import get_text
from backend.services.chat.domain.conversation_views import load_conversation_views
from backend.services.chat.domain.search_words import find_highlights, query_words
from backend.services.chat.domain.views import (
    SearchHit,
    load_message_views,
)
from backend.services.chat.store import search as store


class SearchService:
    """Finds messages in the conversations that the caller may see."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def search_messages(
        self, caller: Caller, query: str, limit: int, before: int | None
    ) -> Sequence[tuple[int, SearchHit]]:
        """Return messages that contain all words of *query* with their numbers, newest first.

        Args:
            before: number of the last message of the previous page, or None.
        """
        words = query_words(query)
        if not words:
            return ()
        owner_id = None if caller.can_read_all else caller.user_id
        with self._database.read(caller.tenant_id) as session:
            rows = store.search_messages(
                session, caller.tenant_id, words, limit, before, owner_id=owner_id
            )
            views = load_message_views(session, [message for message, _ in rows])
            found = {conversation.id: conversation for _, conversation in rows}
            conversations = {
                view.id: view
                for view in load_conversation_views(session, caller, list(found.values()))
            }
            hits = []
            for (message, _), view in zip(rows, views, strict=True):
                text = get_text(message.content)
                highlights = find_highlights(text, words)
                hit = SearchHit(view, conversations[view.conversation_id], text, highlights)
                hits.append((message.number, hit))
            return hits
