"""The viewer and the page position of the current request."""

from backend.chassis.web.audit import get_request_origin
from backend.chassis.web.paging import PageQuery
from backend.security import current_principal, invalid_field
from backend.services.rag.model import Viewer


def get_viewer() -> Viewer:
    """Return the authenticated user of the current request."""
    principal = current_principal()
    return Viewer(principal.tenant_id, principal.user_id, get_request_origin())


def cursor_key(query: PageQuery) -> str | None:
    """Return the sort key of the previous page's last item, or None for the first page.

    All lists of this service are sorted by a single key.
    """
    keys = query.decode_cursor()
    if keys is None:
        return None
    if len(keys) != 1:
        raise invalid_field("#/cursor", "Use the next_cursor of the previous page.")
    return keys[0]
