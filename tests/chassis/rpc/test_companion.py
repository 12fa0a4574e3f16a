"""Tests for the description of gRPC processes."""

from backend.chassis.rpc import companion


def test_process_without_its_packages_fails_when_the_suite_starts(monkeypatch):
    assert companion.create_rpc_companion("auth", 50052, "SECURITY_HUB_URL").on_demand

    monkeypatch.setattr(companion, "find_spec", lambda _name: None)

    assert not companion.create_rpc_companion("auth", 50052, "SECURITY_HUB_URL").on_demand
