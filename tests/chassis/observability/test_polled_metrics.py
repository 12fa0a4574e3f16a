"""Numbers that others are asked for."""

import threading

from prometheus_client.core import GaugeMetricFamily

from backend.chassis.observability.polled_metrics import AskedNumbers, Dependencies, redis_numbers


def told(collector) -> dict[str, float]:
    return {
        sample.name + "".join(sample.labels.values()): sample.value
        for metric in collector.collect()
        for sample in metric.samples
    }


def test_who_never_answers_keeps_no_scrape_waiting_and_counts_as_away():
    silence = threading.Event()
    collector = Dependencies({"frozen": silence.wait, "well": lambda: None})

    found = told(collector)

    assert (found["dependency_upfrozen"], found["dependency_upwell"]) == (0.0, 1.0)
    assert "dependency_latency_secondsfrozen" not in found
    silence.set()


def test_what_fails_counts_as_away_with_the_time_that_it_took():
    def away() -> None:
        raise ConnectionError

    found = told(Dependencies({"store": away}))

    assert found["dependency_upstore"] == 0.0
    assert found["dependency_latency_secondsstore"] >= 0


def test_a_question_that_fails_leaves_the_page_without_its_numbers(caplog):
    def broken():
        raise OSError("secret of the server")

    collector = AskedNumbers("queue", broken)

    assert told(collector) == {}
    assert told(collector) == {}
    assert caplog.messages == ["no numbers of queue: OSError"]


def test_several_scrapes_at_once_ask_once():
    asked = []

    def question():
        asked.append(1)
        yield GaugeMetricFamily("depth", "Depth.", 3)

    collector = AskedNumbers("queue", question)

    assert [told(collector)["depth"] for _ in range(5)] == [3.0] * 5
    assert len(asked) == 1


def test_the_server_tells_of_itself(valkey):
    families = {metric.name: metric for metric in redis_numbers(valkey.client)}

    assert families["redis_memory_used_bytes"].samples[0].value > 0
    assert families["redis_connected_clients"].samples[0].value >= 1
    assert families["redis_commands_processed"].samples[0].name.endswith("_total")
