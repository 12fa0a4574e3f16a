"""Whose request is worked for, also after it."""

from backend.security.http_errors import request_id, request_id_in_hand, working_for


def test_work_after_a_request_goes_by_its_id():
    assert request_id_in_hand() is None
    with working_for("the-request"):
        assert (request_id_in_hand(), request_id()) == ("the-request", "the-request")
    assert request_id_in_hand() is None
    assert request_id() != request_id()
