"""A restore ends everything that was issued before or after the backup."""

import shutil

import pytest
from sqlalchemy import create_engine, make_url

from backend.services.auth.app import create_app
from backend.services.auth.store.post_restore import invalidate_sessions_and_tokens
from tests.services.auth.api_user import ApiUser, get_problem


@pytest.fixture
def settings(make_settings):
    return make_settings()


@pytest.fixture
def start(settings, clock):
    """Return a function that starts the service on the tables as they are."""
    return lambda: create_app(settings, clock.now).test_client()


@pytest.fixture
def database_file(settings):
    if not settings.database_url.startswith("sqlite"):
        pytest.skip("the backup of this test is a copy of the file")
    return make_url(settings.database_url).database


def restore(database_file, backup, clock):
    shutil.copy(backup, database_file)
    engine = create_engine(f"sqlite:///{database_file}")
    with engine.begin() as connection:
        invalidate_sessions_and_tokens(connection, clock.now())
    engine.dispose()


def test_no_token_issued_before_or_after_the_backup_is_valid(start, database_file, tmp_path, clock):
    client = start()
    ada = ApiUser.register(client, "ada")
    shutil.copy(database_file, tmp_path / "backup")
    later = ApiUser.sign_in(client, "ada")
    bob = ApiUser.register(client, "bob")
    clock.advance(seconds=1)

    restore(database_file, tmp_path / "backup", clock)
    client = start()

    for user in (ada, later, bob):
        response = client.get("/me", headers=user.auth_headers)
        assert get_problem(response) == (401, "invalid_token")
        refreshed = client.post("/refresh", json={"refresh_token": user.refresh_token})
        assert refreshed.status_code == 401
    assert ApiUser.sign_in(client, "ada").get("/me").status_code == 200


def test_second_restore_ends_the_tokens_of_the_first(start, database_file, tmp_path, clock):
    client = start()
    ApiUser.register(client, "ada")
    shutil.copy(database_file, tmp_path / "backup")
    restore(database_file, tmp_path / "backup", clock)
    between = ApiUser.sign_in(start(), "ada")
    clock.advance(seconds=1)

    restore(database_file, tmp_path / "backup", clock)

    response = start().get("/me", headers=between.auth_headers)
    assert get_problem(response) == (401, "invalid_token")
