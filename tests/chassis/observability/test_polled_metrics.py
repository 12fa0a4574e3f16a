"""Metrics that are read in background threads."""

import threading

from prometheus_client.core import GaugeMetricFamily

from backend.chassis.observability.polled_metrics import (
    DependencyCollector,
    PolledCollector,
    collect_redis_metrics,
)


def collect(collector) -> dict[str, float]:
    return {
        sample.name + "".join(sample.labels.values()): sample.value
        for metric in collector.collect()
        for sample in metric.samples
    }


def test_dependency_is_down_while_its_check_does_not_return():
    released = threading.Event()
    collector = DependencyCollector({"frozen": released.wait, "healthy": lambda: None})

    values = collect(collector)

    assert (values["dependency_upfrozen"], values["dependency_uphealthy"]) == (0.0, 1.0)
    assert "dependency_latency_secondsfrozen" not in values
    released.set()


def test_failed_check_reports_a_latency():
    def fail() -> None:
        raise ConnectionError

    values = collect(DependencyCollector({"store": fail}))

    assert values["dependency_upstore"] == 0.0
    assert values["dependency_latency_secondsstore"] >= 0


def test_failed_read_is_logged_once_and_its_metrics_are_left_out(caplog):
    def fail():
        raise OSError("secret of the server")

    collector = PolledCollector("queue", fail)

    assert collect(collector) == {}
    assert collect(collector) == {}
    assert caplog.messages == ["cannot read metrics of queue: OSError"]


def test_consecutive_scrapes_share_one_read():
    reads = []

    def read():
        reads.append(1)
        yield GaugeMetricFamily("depth", "Depth.", 3)

    collector = PolledCollector("queue", read)

    assert [collect(collector)["depth"] for _ in range(5)] == [3.0] * 5
    assert len(reads) == 1


def test_redis_metrics_have_the_names_of_the_redis_exporter(valkey):
    families = {metric.name: metric for metric in collect_redis_metrics(valkey.client)}

    assert families["redis_memory_used_bytes"].samples[0].value > 0
    assert families["redis_connected_clients"].samples[0].value >= 1
    assert families["redis_commands_processed"].samples[0].name.endswith("_total")


def test_value_is_read_again_after_its_fresh_time(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("backend.chassis.observability.polled_metrics.monotonic", lambda: now[0])
    reads = []

    def read():
        reads.append(now[0])
        yield GaugeMetricFamily("rows", "Rows.", value=len(reads))

    collector = PolledCollector("rows", read, fresh_seconds=30.0)
    values = []
    for seconds in (0.0, 29.0, 31.0):
        now[0] = 100.0 + seconds
        values.append(collect(collector)["rows"])

    assert values == [1.0, 1.0, 2.0]
