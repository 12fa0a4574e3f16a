"""Which instance is asked, and which is left alone."""

from backend.services.gateway.clients.instances import Instances


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def fail(instances, instance, times=3):
    for _ in range(times):
        instances.failed(instance)


class Book:
    """A name server that a test writes, asked anew each time."""

    def __init__(self, **addresses):
        self.addresses = addresses

    def known(self, host, port):
        return self.addresses.get(host)


def test_the_least_busy_is_asked():
    instances = Instances("rag", [("a", 1), ("b", 1)])
    instances.all[0].outstanding = 2

    assert {instances.choose().host for _ in range(4)} == {"b"}


def test_equally_busy_ones_take_turns():
    instances = Instances("rag", [("a", 1), ("b", 1)])

    assert {instances.choose().host for _ in range(4)} == {"a", "b"}


def test_one_that_fails_is_ejected_tried_once_and_taken_back():
    clock = Clock()
    instances = Instances("rag", [("a", 1), ("b", 1)], clock)
    bad, good = instances.all
    fail(instances, bad)
    assert instances.state == "partial"
    assert {instances.choose() is good for _ in range(4)} == {True}

    clock.now += 0.6
    chosen = [instances.choose() for _ in range(4)]
    assert chosen.count(bad) == 1

    instances.succeeded(bad)
    assert instances.state == "closed"


def test_pauses_grow_while_trials_fail():
    clock = Clock()
    instances = Instances("rag", [("a", 1)], clock)
    only = instances.all[0]
    fail(instances, only)
    pauses = []
    for _ in range(7):
        pauses.append(only.pause)
        clock.now += only.pause + 0.01
        assert instances.choose() is only
        instances.failed(only)

    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_a_single_instance_is_the_circuit_of_its_service():
    clock = Clock()
    instances = Instances("rag", [("a", 1)], clock)
    fail(instances, instances.all[0])

    assert instances.choose() is None
    assert instances.state == "open"
    assert 0 < instances.retry_in() <= 0.5


def test_never_more_than_half_are_ejected():
    instances = Instances("rag", [("a", 1), ("b", 1), ("c", 1)])
    for each in instances.all:
        fail(instances, each)

    assert sum(each.ejected for each in instances.all) == 1


def test_two_failures_are_no_reason():
    instances = Instances("rag", [("a", 1)])
    fail(instances, instances.all[0], times=2)

    assert instances.choose() is instances.all[0]


def test_what_was_tried_is_not_tried_again():
    instances = Instances("rag", [("a", 1), ("b", 1)])
    first = instances.choose()

    assert instances.choose([first]) is not first
    assert instances.choose(instances.all) is None
    assert Instances("rag", [("a", 1)]).retry_in() == 0.0


def test_an_address_of_six_is_written_in_brackets():
    assert Instances("rag", [("::1", 80)]).all[0].authority == "[::1]:80"


def test_a_name_with_several_addresses_is_several_instances():
    instances = Instances("rag", [("rag", 5003)], names=Book(rag=("10.0.0.1", "10.0.0.2")))

    assert instances.follow()

    assert {instances.choose().place for _ in range(4)} == {"10.0.0.1:5003", "10.0.0.2:5003"}
    assert {each.authority for each in instances.all} == {"rag:5003"}
    assert not instances.follow()


def test_who_stays_keeps_its_record_and_who_has_gone_is_asked_no_more():
    book = Book(rag=("10.0.0.1", "10.0.0.2"))
    instances = Instances("rag", [("rag", 5003)], names=book)
    instances.follow()
    stays, _ = instances.all
    fail(instances, stays)

    book.addresses["rag"] = ("10.0.0.1", "10.0.0.3")

    assert instances.follow()
    assert instances.all[0] is stays
    assert [each.ejected for each in instances.all] == [True, False]


def test_until_a_name_is_known_it_is_reached_by_itself():
    instances = Instances("rag", [("rag", 5003)], names=Book())

    assert not instances.follow()
    assert instances.choose().address == "rag"
