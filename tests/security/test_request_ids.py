"""Request ids, within a request and in work done after it."""

from backend.security.request_ids import current_request_id, request_id, request_id_scope


def test_request_id_scope_sets_the_id_outside_a_request():
    assert current_request_id() is None
    with request_id_scope("the-request"):
        assert (current_request_id(), request_id()) == ("the-request", "the-request")
    assert current_request_id() is None
    assert request_id() != request_id()
