"""Who reads: the guard's caller as the domain knows them."""

from backend.chassis.web.paging import PageQuery
from backend.security import current_principal, invalid_field
from backend.services.rag.domain.collections import Reader


def reader() -> Reader:
    """The caller of the request in hand."""
    principal = current_principal()
    return Reader(principal.tenant_id, principal.user_id)


def behind(query: PageQuery) -> str | None:
    """The one key that all lists here are sorted by, where the page before ended."""
    after = query.after()
    if after is None:
        return None
    if len(after) != 1:
        raise invalid_field("#/cursor", "Use the next_cursor of the page before.")
    return after[0]
