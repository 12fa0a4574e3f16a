"""Who works at the command line: may everything, belongs to no tenant, and the trail says so."""

import getpass
import os

from backend.security import Permission, Principal
from backend.security.revocation import Standing
from backend.services.auth.domain.audit import OPERATOR, Origin


def operator() -> Principal:
    """Whoever can read the secrets could make themselves any token: so nothing is asked of them."""
    return Principal(
        user_id=OPERATOR,
        tenant_id="",
        session_id=OPERATOR,
        permissions=frozenset(map(str, Permission)),
        standing=Standing(OPERATOR, OPERATOR, 0, "", 0),
    )


def at_the_command_line() -> Origin:
    """With the name that this host knows them by."""
    try:
        name = os.getlogin()
    except OSError:
        # No terminal; a container's user may have no name either.
        try:
            name = getpass.getuser()
        except (KeyError, OSError):
            name = f"user {os.getuid()}"
    return Origin(address=f"command line ({name})"[:64], user_agent="", request_id="")
