"""Instance selection, outlier ejection and DNS changes."""

from backend.services.gateway.clients.instances import FAILURES_TO_EJECT, InstanceGroup


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def fail(group, instance, times=3):
    for _ in range(times):
        group.record_failure(instance)


class FakeResolver:
    """A resolver whose addresses the test sets."""

    def __init__(self, **addresses):
        self.addresses = addresses

    def get_cached_addresses(self, host, port):
        return self.addresses.get(host)


def test_instance_with_fewest_outstanding_requests_is_selected():
    group = InstanceGroup("rag", [("a", 1), ("b", 1)])
    group.instances[0].outstanding = 2

    assert {group.select_instance().host for _ in range(4)} == {"b"}


def test_equally_busy_instances_are_selected_in_turn():
    group = InstanceGroup("rag", [("a", 1), ("b", 1)])

    assert {group.select_instance().host for _ in range(4)} == {"a", "b"}


def test_failing_instance_is_ejected_then_tried_once_and_readmitted():
    clock = Clock()
    group = InstanceGroup("rag", [("a", 1), ("b", 1)], clock)
    bad, good = group.instances
    fail(group, bad)
    assert group.circuit_state == "partial"
    assert {group.select_instance() is good for _ in range(4)} == {True}

    clock.now += 0.6
    chosen = [group.select_instance() for _ in range(4)]
    assert chosen.count(bad) == 1

    group.record_success(bad)
    assert group.circuit_state == "closed"


def test_ejection_time_doubles_while_trials_fail():
    clock = Clock()
    group = InstanceGroup("rag", [("a", 1)], clock)
    only = group.instances[0]
    fail(group, only)
    ejection_times = []
    for _ in range(7):
        ejection_times.append(only.ejection_seconds)
        clock.now += only.ejection_seconds + 0.01
        assert group.select_instance() is only
        group.record_failure(only)

    assert ejection_times == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_failures_of_requests_in_flight_do_not_extend_the_ejection():
    clock = Clock()
    group = InstanceGroup("rag", [("a", 1)], clock)
    only = group.instances[0]
    fail(group, only)
    for _ in range(20):
        group.record_failure(only)

    assert group.seconds_until_retry() == 0.5
    clock.now += 0.51
    assert group.select_instance() is only
    group.record_failure(only)
    assert group.seconds_until_retry() == 1.0


def test_circuit_opens_when_the_only_instance_fails():
    clock = Clock()
    group = InstanceGroup("rag", [("a", 1)], clock)
    fail(group, group.instances[0])

    assert group.select_instance() is None
    assert group.circuit_state == "open"
    assert 0 < group.seconds_until_retry() <= 0.5


def test_at_most_half_of_the_instances_are_ejected():
    group = InstanceGroup("rag", [("a", 1), ("b", 1), ("c", 1)])
    for instance in group.instances:
        fail(group, instance)

    assert sum(instance.is_ejected for instance in group.instances) == 1


def test_two_failures_do_not_eject():
    group = InstanceGroup("rag", [("a", 1)])
    fail(group, group.instances[0], times=2)

    assert group.select_instance() is group.instances[0]


def test_excluded_instances_are_not_selected():
    group = InstanceGroup("rag", [("a", 1), ("b", 1)])
    first = group.select_instance()

    assert group.select_instance([first]) is not first
    assert group.select_instance(group.instances) is None
    assert InstanceGroup("rag", [("a", 1)]).seconds_until_retry() == 0.0


def test_ipv6_authority_has_brackets():
    assert InstanceGroup("rag", [("::1", 80)]).instances[0].authority == "[::1]:80"


def test_each_address_of_a_host_is_an_instance():
    group = InstanceGroup(
        "rag", [("rag", 5003)], resolver=FakeResolver(rag=("10.0.0.1", "10.0.0.2"))
    )

    assert group.refresh_addresses()

    assert {group.select_instance().endpoint for _ in range(4)} == {
        "10.0.0.1:5003",
        "10.0.0.2:5003",
    }
    assert {instance.authority for instance in group.instances} == {"rag:5003"}
    assert not group.refresh_addresses()


def test_remaining_instance_keeps_its_failures_and_removed_one_is_dropped():
    resolver = FakeResolver(rag=("10.0.0.1", "10.0.0.2"))
    group = InstanceGroup("rag", [("rag", 5003)], resolver=resolver)
    group.refresh_addresses()
    remaining, _ = group.instances
    fail(group, remaining)

    resolver.addresses["rag"] = ("10.0.0.1", "10.0.0.3")

    assert group.refresh_addresses()
    assert group.instances[0] is remaining
    assert [instance.is_ejected for instance in group.instances] == [True, False]


def test_unresolved_host_is_used_as_address():
    group = InstanceGroup("rag", [("rag", 5003)], resolver=FakeResolver())

    assert not group.refresh_addresses()
    assert group.select_instance().address == "rag"


def test_two_missed_probes_eject_without_trial_requests_until_a_response():
    clock = Clock()
    group = InstanceGroup("rag", [("a", 1)], clock)
    (frozen,) = group.instances

    group.record_missed_probe(frozen)
    assert group.select_instance() is frozen
    group.record_missed_probe(frozen)
    group.record_failure(frozen)  # a request that was sent before
    clock.now += 3600

    assert group.select_instance() is None
    assert (group.circuit_state, group.seconds_until_retry()) == ("open", 1.0)
    group.record_success(frozen)
    assert group.select_instance() is frozen
    group.record_missed_probe(frozen)
    assert group.select_instance() is frozen


def test_answered_probes_do_not_hide_failing_requests():
    group = InstanceGroup("rag", [("a", 1)])
    (failing,) = group.instances

    for _ in range(FAILURES_TO_EJECT):
        assert group.circuit_state == "closed"
        group.record_probe_response(failing)
        group.record_failure(failing)

    assert group.circuit_state == "open"
    group.record_probe_response(failing)
    assert group.circuit_state == "closed"


def test_missed_probes_eject_all_instances_of_a_frozen_service():
    group = InstanceGroup("rag", [("a", 1), ("b", 1)])
    for instance in group.instances * 2:
        group.record_missed_probe(instance)

    assert group.select_instance() is None


def occupy(group, *outstanding):
    for instance, count in zip(group.instances, outstanding, strict=True):
        instance.outstanding = count
    group.outstanding = sum(outstanding)


def test_service_is_full_when_its_instances_together_have_as_many_requests_as_they_may():
    single, group = InstanceGroup("rag", [("a", 1)]), InstanceGroup("rag", [("a", 1), ("b", 1)])
    occupy(single, 64)
    occupy(group, 64, 63)

    assert single.is_full(0, 64)
    assert not group.is_full(0, 64)
    assert group.is_full(127, 64)
    occupy(group, 64, 64)
    assert group.is_full(0, 64)


def test_ejected_instances_and_their_requests_do_not_count():
    group = InstanceGroup("rag", [("a", 1), ("b", 1)])
    occupy(group, 64, 0)
    fail(group, group.instances[0])

    assert not group.is_full(0, 64)
    occupy(group, 64, 64)
    assert group.is_full(0, 64)
    occupy(group, 0, 64)
    assert group.is_full(0, 64)


def test_service_whose_instances_are_all_ejected_is_not_full():
    group = InstanceGroup("rag", [("a", 1), ("b", 1)])
    occupy(group, 64, 64)
    for instance in group.instances:
        group.record_missed_probe(instance)
        group.record_missed_probe(instance)

    assert not group.is_full(0, 64)
    assert group.select_instance() is None
