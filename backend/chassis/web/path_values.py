"""Checks of path parameters that no stored row confirms."""

import re

from werkzeug.exceptions import NotFound

_USER_ID = re.compile(r"[A-Za-z0-9_:.@-]{1,128}")


def require_user_id(user_id: str) -> None:
    """Raise NotFound if *user_id* cannot be the id of a user.

    Services other than auth do not know which users exist: they have no figures of most of them.
    """
    if _USER_ID.fullmatch(user_id) is None:
        raise NotFound
