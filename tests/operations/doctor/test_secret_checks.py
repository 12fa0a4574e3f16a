"""Findings of `doctor` about secrets and the master key of encryption at rest."""

from backend.chassis.settings import Env
from backend.operations.doctor.secret_checks import check_secrets


def list_problems(**variables):
    return [finding.problem for finding in check_secrets(Env(variables))]


def test_master_key_in_the_data_folder_is_reported(tmp_path):
    file = tmp_path / "data" / "keys" / "master.key"

    (problem,) = list_problems(DATA_DIR=str(tmp_path / "data"), ENCRYPTION_KEY_FILE=str(file))

    assert problem == f"The file of the master key, {file}, is in DATA_DIR."


def test_master_key_outside_of_the_data_folder_is_not_reported(tmp_path):
    file = tmp_path / "keys" / "master.key"

    assert list_problems(DATA_DIR=str(tmp_path / "data"), ENCRYPTION_KEY_FILE=str(file)) == []
    assert list_problems(DATA_DIR=str(tmp_path)) == []
