"""How everything is called that this system keeps in Redis."""

from typing import Final

# In a cluster what stands in braces decides which server holds a key. One for all: limits of
# different callers are decided in one script, and the mark that auth has told all revocations
# must be lost together with them.
TAG: Final = "{suite}"


def key(*parts: str) -> str:
    """The key that is called *parts* here."""
    return ":".join((TAG, *parts))
