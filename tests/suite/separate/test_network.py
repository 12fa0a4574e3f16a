"""A default installation contacts no other host: from the start to the stop."""

import shutil
import subprocess
import sys

import pytest

from tests.documents import picture
from tests.network_recorder import build_recorder
from tests.suite.conftest import DATA, ROOT, prepare_suite

pytestmark = [
    pytest.mark.slow,
    pytest.mark.suite,
    pytest.mark.skipif(
        not (sys.platform == "linux" and shutil.which("gcc")), reason="needs Linux and gcc"
    ),
]


@pytest.mark.timeout(300)
def test_suite_contacts_no_other_host_from_start_to_stop(tmp_path):
    recorder = build_recorder(tmp_path)
    (home := tmp_path / "home").mkdir()
    suite = prepare_suite(tmp_path, HOME=str(home), **recorder.environment)
    image = tmp_path / "scan.png"
    image.write_bytes(picture("The warranty of the X-200 pump lasts 37 months."))
    try:
        suite.start()
        user = suite.register_user()
        assert user.upload(DATA / "multi_page.pdf")["status"] == "ready"
        assert user.upload(image)["status"] == "ready"
        question = {"user_request": "Who patented the typewriter in 1868?"}
        assert "Sholes" in user("POST", "/agent/query", json=question).text
        subprocess.run(
            [str(ROOT / "start_microservices.sh"), "doctor"],
            cwd=ROOT,
            env=suite.environment,
            capture_output=True,
            timeout=120,
            check=False,
        )
    finally:
        suite.stop()

    assert any(line.startswith("connect") for line in recorder.lines())
    assert recorder.foreign_lines() == []
    assert not (home / ".cache" / "Microsoft").exists()
