"""Names of the keys that the suite stores in Redis."""

from typing import Final

# Hash tag: in a cluster the text in braces selects the slot of a key. All keys share one slot,
# because one script decides the limits of different callers, and because the marker for "all
# revocations are published" must be lost together with the revocations.
HASH_TAG: Final = "{suite}"


def redis_key(*parts: str) -> str:
    """Return the Redis key for *parts*."""
    return ":".join((HASH_TAG, *parts))
