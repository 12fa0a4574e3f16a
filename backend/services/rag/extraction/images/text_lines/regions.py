"""Connected regions of a binary image.

The image is split into horizontal runs of set pixels, and runs that touch in adjacent rows are
joined with union-find (Rosenfeld and Pfaltz, "Sequential operations in digital picture processing",
1966, on runs instead of pixels). Time and memory are linear in the number of pixels, up to sorting.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Region:
    """The outline of a connected region: the first and the last column of each of its rows."""

    rows: Integers
    left: Integers
    right: Integers


@dataclass(frozen=True, slots=True)
class _Runs:
    """Horizontal runs of set pixels from top left to bottom right; *ends* are exclusive."""

    rows: Integers
    starts: Integers
    ends: Integers


def find_regions(mask: NDArray[np.bool_], min_extent: int, max_regions: int) -> Iterator[Region]:
    """Yield the regions of set pixels that touch along edges or at corners, from top to bottom.

    Args:
        mask: of shape (rows, columns).
        min_extent: minimum distance in pixels between the first and the last row of a region, and
            between its first and last column.
        max_regions: if there are more regions, only those with the most pixels are yielded.
    """
    runs = _find_runs(mask)
    if not len(runs.rows):
        return
    labels = _join_runs(runs, mask.shape[1])
    order = np.lexsort((runs.rows, labels))
    rows, labels = runs.rows[order], labels[order]
    # A region may have several runs in the same row of pixels.
    first = _find_changes(labels, rows)
    left = np.minimum.reduceat(runs.starts[order], first)
    right = np.maximum.reduceat(runs.ends[order], first) - 1
    pixels = np.add.reduceat((runs.ends - runs.starts)[order], first)
    rows, labels = rows[first], labels[first]
    begin = _find_changes(labels)
    end = np.append(begin[1:], len(labels))
    width = np.maximum.reduceat(right, begin) - np.minimum.reduceat(left, begin)
    height = rows[end - 1] - rows[begin]
    kept = np.flatnonzero(np.minimum(width, height) >= min_extent)
    size = np.add.reduceat(pixels, begin)[kept]
    for index in np.sort(kept[np.argsort(-size, kind="stable")[:max_regions]]):
        part = slice(begin[index], end[index])
        yield Region(rows[part], left[part], right[part])


def _find_runs(mask: NDArray[np.bool_]) -> _Runs:
    height, width = mask.shape
    padded = np.zeros((height, width + 2), np.bool_)
    padded[:, 1:-1] = mask
    changes = np.flatnonzero(padded[:, 1:] != padded[:, :-1])
    rows, columns = np.divmod(changes, width + 1)
    return _Runs(rows[::2], columns[::2], columns[1::2])


def _join_runs(runs: _Runs, width: int) -> Integers:
    """Return for each run the index of the first run of its region."""
    parents = list(range(len(runs.rows)))
    for upper, lower in zip(*_find_touching(runs, width), strict=True):
        first, second = _find_root(parents, upper), _find_root(parents, lower)
        parents[max(first, second)] = min(first, second)
    # A parent has a lower index than its children, so its own root is already known.
    for index, parent in enumerate(parents):
        parents[index] = parents[parent]
    return np.array(parents, np.int64)


def _find_touching(runs: _Runs, width: int) -> tuple[Sequence[int], Sequence[int]]:
    """Return the indices of the pairs of runs that touch in adjacent rows."""
    stride = width + 2
    below = (runs.rows + 1) * stride
    begin = np.searchsorted(runs.rows * stride + runs.ends, below + runs.starts, "left")
    end = np.searchsorted(runs.rows * stride + runs.starts, below + runs.ends, "right")
    counts = np.maximum(end - begin, 0)
    upper = np.repeat(np.arange(len(counts)), counts)
    offsets = np.arange(len(upper)) - np.repeat(np.cumsum(counts) - counts, counts)
    return upper.tolist(), (begin[upper] + offsets).tolist()


def _find_root(parents: list[int], index: int) -> int:
    while parents[index] != index:
        parents[index] = parents[parents[index]]
        index = parents[index]
    return index


def _find_changes(*columns: Integers) -> Integers:
    """Return 0 and the indices where a value in any of *columns* differs from the previous one."""
    changed = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return np.append(0, np.flatnonzero(changed) + 1)
