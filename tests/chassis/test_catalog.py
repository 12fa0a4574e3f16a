"""Packages of services that the catalog does not list."""

from backend.chassis.catalog import SERVICE_NAMES, find_unlisted_services


def test_package_of_a_service_that_is_not_in_the_catalog_is_found(tmp_path):
    for name in ("billing", SERVICE_NAMES[0], "notes"):
        (tmp_path / name).mkdir()
    (tmp_path / "billing" / "app.py").touch()
    (tmp_path / SERVICE_NAMES[0] / "app.py").touch()

    assert find_unlisted_services(tmp_path) == ["billing"]
    assert find_unlisted_services() == []
