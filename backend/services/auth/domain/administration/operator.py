"""Principal and request origin for commands. The operator has all permissions and no tenant."""

import getpass
import os

from backend.security import Permission, Principal
from backend.security.revocation import SessionClaims
from backend.services.auth.domain.audit import OPERATOR, RequestOrigin


def get_operator_principal() -> Principal:
    """Return the principal of the command line.

    No authentication is needed: an operator who can read the secrets could sign any token.
    """
    return Principal(
        user_id=OPERATOR,
        tenant_id="",
        session_id=OPERATOR,
        permissions=frozenset(map(str, Permission)),
        session_claims=SessionClaims(OPERATOR, OPERATOR, 0, "", 0),
    )


def get_command_line_origin() -> RequestOrigin:
    """Return the origin for audit records, with the operating system's user name."""
    try:
        name = os.getlogin()
    except OSError:
        # os.getlogin() fails without a terminal. The user of a container may not have a name
        # either.
        try:
            name = getpass.getuser()
        except (KeyError, OSError):
            name = f"user {os.getuid()}"
    return RequestOrigin(address=f"command line ({name})"[:64], user_agent="", request_id="")
