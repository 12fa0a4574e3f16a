"""Rectangles of text lines, from the output of the detection model."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from backend.services.rag.extraction.images.text_lines import detection
from backend.services.rag.extraction.images.text_lines.crops import crop_line
from backend.services.rag.extraction.images.text_lines.rectangles import (
    RegionMeans,
    RotatedRectangle,
)
from backend.services.rag.extraction.images.text_lines.regions import find_regions


def draw_mask(*polygons, size=(120, 90)):
    image = Image.new("1", size)
    for polygon in polygons:
        ImageDraw.Draw(image).polygon(polygon, fill=1)
    return np.asarray(image)


def find_all(mask, min_extent=0, max_regions=1000):
    return list(find_regions(mask, min_extent, max_regions))


def count_pixels_by_region(mask):
    """Return the number of pixels of each region, by flood fill."""
    remaining, counts = set(zip(*np.nonzero(mask), strict=True)), []
    while remaining:
        pending, size = [remaining.pop()], 0
        while pending:
            row, column = pending.pop()
            size += 1
            around = {(row + dy, column + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)}
            pending += around & remaining
            remaining -= around
        counts.append(size)
    return counts


@pytest.mark.parametrize("density", [0.1, 0.3, 0.4, 0.6])
def test_regions_of_noise_are_those_of_a_flood_fill(density):
    mask = np.random.default_rng(7).random((40, 60)) < density

    assert len(find_all(mask)) == len(count_pixels_by_region(mask))


def test_region_has_the_first_and_last_column_of_each_row():
    mask = np.zeros((5, 9), np.bool_)
    mask[1, 2:5] = mask[2, [1, 7]] = mask[3, 2:7] = True

    (region,) = find_all(mask)

    assert region.rows.tolist() == [1, 2, 3]
    assert region.left.tolist() == [2, 1, 2]
    assert region.right.tolist() == [4, 7, 6]


def test_small_regions_and_those_beyond_the_maximum_are_left_out():
    mask = draw_mask(
        [(1, 1), (3, 3), (1, 3)], [(10, 10), (60, 10), (60, 20), (10, 20)], [(70, 60), (90, 80)]
    )

    assert len(find_all(mask)) == 3
    assert [region.rows[0] for region in find_all(mask, min_extent=5)] == [10, 60]
    assert [region.rows[0] for region in find_all(mask, max_regions=1)] == [10]


def test_image_without_set_pixels_has_no_regions():
    assert find_all(np.zeros((4, 4), np.bool_)) == []


@pytest.mark.parametrize("degrees", [0, 10, 40, 80, 90, 130])
def test_smallest_rectangle_has_the_size_and_corners_of_a_rotated_one(degrees):
    turn = np.radians(degrees)
    axis, normal = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    drawn = np.array([60, 45]) + [
        along * axis + across * normal for along, across in ((-30, -8), (30, -8), (30, 8), (-30, 8))
    ]
    (region,) = find_all(draw_mask([tuple(corner) for corner in drawn]))

    found = RotatedRectangle.around(region)

    assert sorted([found.width, found.height]) == pytest.approx([16, 60], abs=1.5)
    corners = found.find_corners()
    for corner in drawn:
        assert np.hypot(*(corners - corner).T).min() < 2
    assert corners[0, 0] < corners[1, 0]
    assert corners[3, 0] < corners[2, 0]


def test_mean_of_a_rotated_rectangle_covers_only_its_pixels():
    corners = np.array([(20, 30), (80, 50), (74, 68), (14, 48)], np.float64)
    values = draw_mask([tuple(corner) for corner in corners]).astype(np.float32)

    assert RegionMeans(values).compute_mean(corners) > 0.97
    assert RegionMeans(1 - values).compute_mean(corners) < 0.03
    assert RegionMeans(values).compute_mean(corners + np.array([0, 100])) == 0


def test_crop_of_a_rotated_line_is_horizontal():
    page = Image.new("RGB", (600, 600), "white")
    ImageDraw.Draw(page).line([(90, 150), (450, 330)], fill="black", width=18)
    corners = np.array([(105, 120), (465, 300), (435, 360), (75, 180)], np.float32)

    crop = np.asarray(crop_line(page, corners).convert("L"))

    rows = np.flatnonzero((crop < 128).mean(axis=1) > 0.5)
    assert crop.shape == (67, 402)
    assert 23 <= rows[0] <= rows[-1] <= 43


def test_crop_of_a_small_line_is_enlarged():
    page = Image.new("RGB", (200, 200), "white")
    corners = np.array([(20, 40), (120, 40), (120, 52), (20, 52)], np.float32)

    assert crop_line(page, corners).size == (400, 48)


def detect(monkeypatch, probabilities):
    """Return the lines of an image for which the model returns *probabilities*."""

    class Session:
        def run(self, _names, inputs):
            assert inputs["x"].shape[2:] == probabilities.shape
            return [probabilities[None, None]]

    monkeypatch.setattr(detection, "load_session", lambda _: Session())
    return detection.detect_lines(np.full((*probabilities.shape, 3), 255, np.uint8))


def test_lines_are_larger_than_their_cores_and_sorted(monkeypatch):
    probabilities = np.zeros((1600, 1600), np.float32)
    probabilities[800:810, 100:500] = 0.9
    probabilities[200:210, 300:700] = 0.9
    probabilities[400:410, 300:700] = 0.4  # too unlikely

    lines = detect(monkeypatch, probabilities)

    # The core of a long line has 10 rows, the line 0.8 of its height more on each side.
    assert [line[0].round(-1).tolist() for line in lines] == [[290, 190], [90, 790]]
    assert lines[0][3, 1] - lines[0][0, 1] == pytest.approx(26, abs=2)


@pytest.mark.slow
def test_total_area_of_lines_is_bounded(monkeypatch):
    """Nested angles have overlapping rectangles, each nearly as large as the image."""
    probabilities = np.zeros((1600, 1600), np.float32)
    for offset in range(0, 1500, 6):
        probabilities[offset : offset + 4, offset:] = 0.9
        probabilities[offset:, offset : offset + 4] = 0.9

    lines = detect(monkeypatch, probabilities)

    assert sum(np.prod(np.ptp(line, axis=0)) for line in lines) <= 4.1 * 1600**2


@pytest.mark.slow
def test_number_of_lines_is_bounded(monkeypatch):
    probabilities = np.zeros((1600, 1600), np.float32)
    for row in range(0, 1590, 10):
        for column in range(0, 1590, 20):
            probabilities[row : row + 5, column : column + 12] = 0.9

    assert len(detect(monkeypatch, probabilities)) == 1000
