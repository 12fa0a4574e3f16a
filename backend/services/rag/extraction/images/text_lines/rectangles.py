"""Rotated rectangles: the smallest one around a region, and the mean of an image in it.

Coordinates are (x, y) of pixel centres, in pixels from the centre of the top left pixel.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from backend.services.rag.extraction.images.text_lines.regions import Region

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RotatedRectangle:
    """A rectangle by its centre, the unit vector along its width, its width and its height."""

    centre: Floats
    axis: Floats
    width: float
    height: float

    @classmethod
    def around(cls, region: Region) -> Self:
        """Return the rectangle with the smallest area that contains the pixel centres of *region*.

        One of its sides contains an edge of the convex hull (Freeman and Shapira, "Determining the
        minimum-area encasing rectangle for an arbitrary closed curve", 1975).
        """
        hull = _find_convex_hull(region)
        edges = np.roll(hull, -1, axis=0) - hull
        lengths = np.hypot(edges[:, 0], edges[:, 1])
        axes = edges[lengths > 0] / lengths[lengths > 0, None]
        along, across = hull @ axes.T, hull @ _turn(axes).T
        widths, heights = np.ptp(along, axis=0), np.ptp(across, axis=0)
        best = int(np.argmin(widths * heights))
        axis = axes[best]
        middle_along = (along[:, best].min() + along[:, best].max()) / 2
        middle_across = (across[:, best].min() + across[:, best].max()) / 2
        centre = middle_along * axis + middle_across * _turn(axis)
        return cls(centre, axis, float(widths[best]), float(heights[best]))

    def expand(self, distance: float) -> Self:
        """Return the rectangle with each side moved outwards by *distance* pixels."""
        return type(self)(
            self.centre, self.axis, self.width + 2 * distance, self.height + 2 * distance
        )

    def find_corners(self) -> Floats:
        """Return the corners clockwise from the top left one, of shape (4, 2)."""
        along, across = self.axis * self.width / 2, _turn(self.axis) * self.height / 2
        corners = self.centre + np.array([-along - across, along - across, along + across])
        corners = np.vstack([corners, self.centre - along + across])
        by_x = corners[np.argsort(corners[:, 0], kind="stable")]
        top_left, bottom_left = sorted(by_x[:2], key=_get_y)
        top_right, bottom_right = sorted(by_x[2:], key=_get_y)
        return np.array([top_left, top_right, bottom_right, bottom_left])


class RegionMeans:
    """Computes the mean of an image in a convex polygon, in time linear in the polygon's height."""

    def __init__(self, image: NDArray[np.float32]) -> None:
        """Compute the cumulative sums of *image*, of shape (rows, columns), along its rows."""
        height, width = image.shape
        self._sums = np.zeros((height, width + 1))
        np.cumsum(image, axis=1, out=self._sums[:, 1:])

    def compute_mean(self, corners: Floats) -> float:
        """Return the mean of the pixels in the polygon. *corners* are in order, of shape (n, 2)."""
        height, width = self._sums.shape[0], self._sums.shape[1] - 1
        top, bottom = np.clip(np.rint([corners[:, 1].min(), corners[:, 1].max()]), 0, height - 1)
        rows = np.arange(int(top), int(bottom) + 1)
        start, step = corners, np.roll(corners, -1, axis=0) - corners
        share = (rows[:, None] - start[:, 1]) / np.where(step[:, 1] == 0, np.inf, step[:, 1])
        is_crossed = (share >= 0) & (share <= 1) & (step[:, 1] != 0)
        x = start[:, 0] + share * step[:, 0]
        left = np.where(is_crossed, x, np.inf).min(axis=1)
        right = np.where(is_crossed, x, -np.inf).max(axis=1)
        is_inside = left <= right
        rows = rows[is_inside]
        begin = np.clip(np.rint(left[is_inside]), 0, width - 1).astype(np.int64)
        end = np.clip(np.rint(right[is_inside]), 0, width - 1).astype(np.int64) + 1
        count = int((end - begin).sum())
        total = float((self._sums[rows, end] - self._sums[rows, begin]).sum())
        return total / count if count else 0.0


def _find_convex_hull(region: Region) -> Floats:
    """Return the corners of the hull in order, of shape (n, 2).

    Andrew's monotone chain ("Another efficient algorithm for convex hulls in two dimensions",
    1979). The points are already sorted by row, so it takes linear time.
    """
    rows = region.rows.tolist()
    left = _find_leftmost_chain(region.left.tolist(), rows)
    right = _find_leftmost_chain((-region.right).tolist(), rows)
    return np.array([*left, *((-x, y) for x, y in reversed(right))], np.float64)


def _find_leftmost_chain(columns: list[int], rows: list[int]) -> list[tuple[int, int]]:
    chain: list[tuple[int, int]] = []
    for point in zip(columns, rows, strict=True):
        while len(chain) > 1 and not _is_left_of(chain[-1], chain[-2], point):
            chain.pop()
        chain.append(point)
    return chain


def _is_left_of(point: tuple[int, int], start: tuple[int, int], end: tuple[int, int]) -> bool:
    """Check that *point* is left of the line from *start* down to *end*."""
    (x, y), (x0, y0), (x1, y1) = point, start, end
    return (x - x0) * (y1 - y0) < (x1 - x0) * (y - y0)


def _turn(vectors: Floats) -> Floats:
    """Return *vectors*, of shape (…, 2), rotated by 90 degrees."""
    return np.stack([-vectors[..., 1], vectors[..., 0]], axis=-1)


def _get_y(point: Floats) -> float:
    return float(point[1])
