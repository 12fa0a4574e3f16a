"""One ranking out of two: what means the same, and what says the same words."""

from collections.abc import Mapping

# Of each ranking's best hundred. With equal weight this was better than either ranking and
# than reciprocal ranks on all the collections measured; see docs/adr.
DEPTH = 100
DENSE_WEIGHT = 0.5


def fused(dense: Mapping[str, float], keyword: Mapping[str, float]) -> dict[str, float]:
    """The convex combination of both rankings' min-max normalised scores, best first."""
    near, named = _normalised(dense), _normalised(keyword)
    scores = {
        key: DENSE_WEIGHT * near.get(key, 0.0) + (1 - DENSE_WEIGHT) * named.get(key, 0.0)
        for key in near | named
    }
    return ranked(scores)


def ranked(scores: Mapping[str, float]) -> dict[str, float]:
    """Best first; equals in the order of their keys, so that an answer can be repeated."""
    return dict(sorted(scores.items(), key=lambda item: (-item[1], item[0])))


def _normalised(scores: Mapping[str, float]) -> dict[str, float]:
    if not scores:
        return {}
    low, high = min(scores.values()), max(scores.values())
    if low == high:
        return dict.fromkeys(scores, 1.0)
    return {key: (score - low) / (high - low) for key, score in scores.items()}
