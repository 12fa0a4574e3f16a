"""Values that expire, of a bounded number."""

from backend.security.expiring_cache import ExpiringCache


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_value_is_returned_until_it_expires():
    clock = Clock()
    cache = ExpiringCache(2, clock)
    cache.set("a", 1, 110.0)
    assert (cache.get("a"), cache.get("b")) == (1, None)

    clock.seconds = 110.0

    assert cache.get("a") is None


def test_oldest_value_is_removed_if_there_are_too_many():
    cache = ExpiringCache(2, Clock())
    for key in "abac":  # the second `a` makes `b` the oldest
        cache.set(key, key, 110.0)

    assert [cache.get(key) for key in "abc"] == ["a", None, "c"]
    assert len(cache) == 2


def test_removed_value_is_not_returned():
    cache = ExpiringCache(2, Clock())
    cache.set("a", 1, 110.0)

    cache.remove("a")
    cache.remove("missing")

    assert cache.get("a") is None
