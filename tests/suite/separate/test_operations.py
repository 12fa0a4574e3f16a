"""Every command of the operations pages, run unchanged against a running suite."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests import databases
from tests.commands import CodeBlock, blocks, pages
from tests.suite.conftest import DATA, ROOT, Suite, UserClient, install_extra, prepare_suite

pytestmark = [pytest.mark.suite, pytest.mark.slow]

PASSWORD = "correct horse battery"
# Assumed by all pages; see docs/operations/README.md.
PRELUDE = "set -euo pipefail\n"
SECONDS = 300
BASH, GIT = str(shutil.which("bash")), str(shutil.which("git"))


def runs_in_this_test(block: CodeBlock) -> bool:
    return block.language == "sh" and not block.environment


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the project with the state of the working tree."""
    folder = tmp_path_factory.mktemp("origin")
    listing = subprocess.run(
        [GIT, "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in listing.stdout.splitlines():
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    clone = folder.with_name("clone")
    identity = ["-c", "user.name=Tests", "-c", "user.email=tests@localhost"]
    commit = [*identity, "commit", "-q", "-m", "working tree"]
    for arguments in (["init", "-q"], ["add", "."], commit):
        subprocess.run([GIT, *arguments], cwd=folder, check=True)
    subprocess.run([GIT, "clone", "--quiet", folder, clone], check=True)
    if vector_store := databases.selected_vector_store():
        install_extra(vector_store, clone)
    return clone


@pytest.fixture
def suite(clone: Path, tmp_path: Path) -> Iterator[Suite]:
    """A newly installed suite that runs in the background, as the pages assume."""
    suite = prepare_suite(tmp_path, clone, ADMIN_PASSWORD=PASSWORD)
    del suite.environment["DATA_DIR"], suite.environment["LOG_DIR"]
    shutil.rmtree(clone / "data", ignore_errors=True)
    start = [str(clone / "start_microservices.sh"), "--detach"]
    subprocess.run(start, cwd=clone, env=suite.environment, check=True, timeout=SECONDS)
    try:
        yield suite
    finally:
        stop = [str(clone / "start_microservices.sh"), "stop"]
        subprocess.run(stop, cwd=clone, env=suite.environment, check=True, timeout=60)


@pytest.fixture
def variables(suite: Suite) -> dict[str, str]:
    """Variables that the pages use: credentials and ids of existing resources."""
    login = requests.post(
        f"{suite.url}/auth/login", json={"username": "admin", "password": PASSWORD}, timeout=30
    )
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {login.json()['access_token']}"
    admin = UserClient(suite.url, session, login.json())
    key = admin(
        "POST", "/auth/api-keys", json={"name": "operator", "permissions": ["system:read"]}
    ).json()
    document = admin.upload(DATA / "multi_page.pdf")
    response = admin(
        "POST", "/agent/query", json={"user_request": "Who patented the typewriter in 1868?"}
    )
    return {
        "GATEWAY": suite.url,
        "TOKEN": login.json()["access_token"],
        "API_KEY": key["key"],
        "DOCUMENT_ID": document["id"],
        "REQUEST_ID": response.headers["X-Request-ID"],
        "RUN_ID": get_run_id(admin, response.json()["session_id"]),
    }


def get_run_id(person: UserClient, session_id: str) -> str:
    messages = person("GET", f"/agent/sessions/{session_id}").json()["messages"]
    return str(next(item["run_id"] for item in messages if item.get("run_id")))


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "page",
    [page for page in pages() if any(map(runs_in_this_test, blocks(page)))],
    ids=lambda page: page.stem,
)
def test_commands_of_the_page_succeed(page, clone, suite, variables):
    if page.stem == "backup" and databases.on_postgresql():
        pytest.skip("restores into another DATA_DIR, which has no database of its own")
    if page.stem in ("backup", "documents", "upgrade"):  # commands that read the vectors
        databases.require_shared_vectors()
    for block in filter(runs_in_this_test, blocks(page)):
        commands = block.text.replace("127.0.0.1:5000", suite.url.removeprefix("http://"))
        process = subprocess.run(
            [BASH, "-c", PRELUDE + commands],
            cwd=clone,
            env=suite.environment | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        output = f"{process.stdout[-2000:]}\n{process.stderr[-2000:]}"
        assert process.returncode == 0, f"{block.text}\n{output}"
