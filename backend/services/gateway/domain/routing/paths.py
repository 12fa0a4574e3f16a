"""Match paths against patterns."""

from functools import lru_cache


class PathSet:
    """A set of paths. A pattern that ends in `/*` includes all paths below it, others only one."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        prefixes = [pattern[:-1] for pattern in patterns if pattern.endswith("/*")]
        self._prefixes = tuple(prefixes)
        self._exact = frozenset(patterns) | {prefix[:-1] for prefix in prefixes}

    def __contains__(self, path: str) -> bool:
        return path in self._exact or path.startswith(self._prefixes)


@lru_cache(maxsize=1024)
def compile_paths(patterns: tuple[str, ...]) -> PathSet:
    """Return the set of *patterns*, compiled once for each tuple."""
    return PathSet(patterns)
