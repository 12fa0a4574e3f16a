"""Who may do what a key must not: only somebody who signed in."""

from backend.security import Principal, current_principal
from backend.services.auth.errors import SessionRequired


def signed_in_caller() -> Principal:
    """The caller, or SessionRequired for an API key.

    Whoever can change how its owner signs in can become them, whatever little
    the key was made for.
    """
    caller = current_principal()
    if caller.by_api_key:
        raise SessionRequired
    return caller
