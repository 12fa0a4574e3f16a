import pytest

from backend.chassis.settings import CommonSettings, Env, Secret, SettingsError
from backend.chassis.worker_process import run_worker_process


def test_worker_with_unusable_settings_ends_with_one_sentence(tmp_path):
    common = CommonSettings(
        name="chat",
        is_production=False,
        host="127.0.0.1",
        port=0,
        data_dir=tmp_path,
        redis_url=None,
        secret_key=Secret("a secret of the tests"),
    )

    def work(*_):
        raise SettingsError("ENCRYPTION_KEY_FILE does not have the key of the data.")

    with pytest.raises(SystemExit) as ended:
        run_worker_process("chat-worker", Env({}), common, 0, tmp_path, work, on_demand=False)

    assert str(ended.value) == (
        "chat-worker: ENCRYPTION_KEY_FILE does not have the key of the data."
    )
