"""Forecasts: samples, quantiles, lateness, and the command `evaluate`."""

import gzip
import json
import random

import pytest

from backend.services.packages.__main__ import main
from backend.services.packages.domain.prediction.evaluation import compute_auc
from backend.services.packages.domain.prediction.forecasts import ForecastCollector, Position
from backend.services.packages.domain.prediction.samples import Sample, get_weight

_SHIPMENT_COLUMNS = (
    "country,fulfill_via,shipment_mode,po_sent_to_vendor_date,scheduled_delivery_date,"
    "delivered_to_client_date,vendor"
)


def position(lane: str = "a>b", left: float | None = 48.0) -> Position:
    return Position("start", lane, lane.partition(">")[2], "ups", left)


def learn(*histories: tuple[Position, list[float]]):
    collector = ForecastCollector()
    for place, values in histories:
        for hours in values:
            collector.add(place, hours)
    return collector.summarize()


def test_tail_of_a_sample_is_the_share_above_the_value():
    sample = Sample.from_values(range(101))
    assert sample.get_tail(-1) == 1
    assert sample.get_tail(25) == pytest.approx(0.75, abs=0.02)
    assert sample.get_tail(100) == 0


def test_forecast_has_the_quantiles_and_lateness_of_a_long_history():
    hours = [float(value) for value in range(20, 121)] * 5
    forecast = learn((position(left=70.0), hours)).predict(position(left=70.0))
    assert forecast is not None
    assert forecast.p10 == pytest.approx(30, abs=3)
    assert forecast.p50 == pytest.approx(70, abs=1.5)
    assert forecast.p90 == pytest.approx(110, abs=3)
    assert forecast.late_probability == pytest.approx(0.5, abs=0.02)
    assert forecast.samples == 505


def test_small_group_is_mixed_with_coarser_ones():
    history = learn((position("a>b"), [100.0] * 5), (position("c>d"), [20.0] * 500))
    forecast = history.predict(position("a>b"))
    assert forecast is not None
    # The lane is always late, but five packages of it are weak evidence against 500 others.
    assert 0.2 < forecast.late_probability < 0.8


def test_unknown_lane_uses_all_packages_and_names_the_group():
    forecast = learn((position("a>b"), [24.0] * 50)).predict(
        Position("start", "x>y", "y", "", 48.0)
    )
    assert forecast is not None
    assert forecast.group == "all"


def test_without_a_promise_there_is_no_late_probability():
    forecast = learn((position(left=None), [24.0] * 50)).predict(position(left=None))
    assert forecast is not None
    assert forecast.late_probability is None
    assert forecast.p50 == pytest.approx(24)


def test_newer_packages_weigh_more():
    collector = ForecastCollector()
    for age_days, hours in ((900, 200.0), (0, 50.0)):
        for _ in range(50):
            collector.add(position(left=100.0), hours, get_weight(age_days))
    forecast = collector.summarize().predict(position(left=100.0))
    assert forecast is not None
    assert forecast.late_probability < 0.05
    assert forecast.p50 == pytest.approx(50)
    assert forecast.samples == 100


def test_expected_time_is_the_promised_one_unless_the_sample_clearly_deviates():
    around = [float(hours) for hours in range(30, 71)]
    kept = learn((position(left=52.0), around)).predict(position(left=52.0))
    moved = learn((position(left=90.0), around)).predict(position(left=90.0))
    assert kept is not None
    assert moved is not None
    assert kept.p50 == 52
    assert moved.p50 == pytest.approx(56, abs=1)


def test_interval_of_a_small_sample_is_wider_than_its_own_values_suggest():
    few = learn((position(left=0.0), [10.0, 20.0, 30.0, 40.0, 50.0] * 2)).predict(
        position(left=0.0)
    )
    many = learn((position(left=0.0), [10.0, 20.0, 30.0, 40.0, 50.0] * 200)).predict(
        position(left=0.0)
    )
    assert few is not None
    assert many is not None
    assert few.p90 - few.p10 >= many.p90 - many.p10


def test_lane_with_one_slack_counts_once():
    others = (position("c>d", 48.0), [1.0] * 500)
    same = learn((position("a>b", 48.0), [99.0] * 20), others).predict(position("a>b", 48.0))
    assert same is not None
    # 20 of 40 for the lane, and not 20 of 40 of what the lane itself has left.
    assert same.late_probability == pytest.approx(0.75, abs=0.02)


def test_time_that_has_passed_without_delivery_moves_the_forecast():
    history = learn((position(), [10.0] * 50 + [40.0] * 40 + [90.0] * 10))
    fresh = history.predict(position())
    waiting = history.predict(position(), hours_since=42.0)
    assert fresh is not None
    assert waiting is not None
    assert waiting.p10 >= 42
    assert waiting.late_probability > 0.8 > 0.3 > fresh.late_probability
    assert history.predict(position(), hours_since=60.0).late_probability == 1


def test_no_history_of_the_step_gives_no_forecast():
    history = learn((position(), [10.0]))
    assert history.predict(Position("departed_3", "a>b", "b", "ups", 48.0)) is None


def test_auc_counts_equal_scores_half():
    assert compute_auc([0.1, 0.2, 0.8, 0.9], [False, False, True, True]) == 1
    assert compute_auc([0.5, 0.5], [False, True]) == 0.5
    assert compute_auc([0.5, 0.5], [True, True]) is None


def test_evaluate_finds_the_late_lane_of_air_freight(tmp_path, capsys):
    names = [
        f"{leg}_{name}"
        for leg in ("i1", "i2", "i3", "o")
        for name in (
            "legid",
            *(
                f"{milestone}_{kind}"
                for milestone in (
                    "rcs",
                    "dep_1",
                    "rcf_1",
                    "dep_2",
                    "rcf_2",
                    "dep_3",
                    "rcf_3",
                    "dlv",
                )
                for kind in ("p", "e", "place")
            ),
        )
    ]
    numbers = random.Random(7)  # noqa: S311 - not for secrets
    lines = [",".join(names)]
    for index in range(300):
        is_slow = index % 2 == 0
        row = dict.fromkeys(names, "?") | {
            "o_legid": str(index + 1),
            "o_rcs_p": "100",
            "o_rcs_e": str(numbers.randint(60, 120)),
            "o_dep_1_p": "200",
            "o_dep_1_e": str(numbers.randint(150, 220)),
            "o_dep_1_place": "11" if is_slow else "12",
            "o_rcf_1_p": "300",
            "o_rcf_1_e": str(numbers.randint(250, 320)),
            "o_rcf_1_place": "20",
            "o_dlv_p": "600",
            "o_dlv_e": str(numbers.randint(600, 1100) if is_slow else numbers.randint(100, 640)),
        }
        lines.append(",".join(row[name] for name in names))
    file = tmp_path / "cargo.csv.gz"
    file.write_bytes(gzip.compress("\n".join(lines).encode()))
    assert main(["evaluate", str(file), "--format", "cargo2000"]) == 0
    figures = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["step"] for each in figures] == ["start", "rcs", "dep_1", "rcf_1"]
    assert all(each["count"] == 300 for each in figures)
    assert figures[0]["late_auc"] > 0.9
    assert figures[0]["brier"] < figures[0]["planned_brier"]
    assert figures[0]["error_median"] < figures[0]["planned_error_median"]


def test_evaluate_uses_only_shipments_that_were_delivered_before(tmp_path, capsys):
    lines = [_SHIPMENT_COLUMNS]
    for day in range(1, 29):
        lines += [f"Kenya,Direct Drop,Air,,2010-02-{day:02},2010-03-{day:02},Vendor"] * 4
    file = tmp_path / "shipments.csv"
    file.write_text("\n".join(lines))
    assert main(["evaluate", str(file), "--format", "scms"]) == 1
    assert "too few" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [("a,b\n1,2\n", "no column"), ("\x1f\x8b broken", "not such a file"), (None, "cannot be read")],
)
def test_evaluate_names_the_problem_of_a_bad_file(tmp_path, capsys, content, message):
    file = tmp_path / "bad.csv"
    if content is not None:
        file.write_bytes(content.encode("latin-1"))
    assert main(["evaluate", str(file), "--format", "cargo2000"]) == 1
    error = capsys.readouterr().err
    assert message in error or "cannot be read" in error
