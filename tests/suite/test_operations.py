"""Every command of the operations' pages, typed as it stands there, against a suite that runs."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.commands import Block, blocks, pages
from tests.suite.conftest import DATA, ROOT, Person, Suite, prepare

pytestmark = [pytest.mark.suite, pytest.mark.slow]

PASSWORD = "correct horse battery"
# What the pages take for granted; docs/operations/README.md says so.
PRELUDE = "set -euo pipefail\n"
SECONDS = 300
BASH, GIT = str(shutil.which("bash")), str(shutil.which("git"))


def here(block: Block) -> bool:
    return block.language == "sh" and not block.where


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the project as it stands in the working tree."""
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
            shutil.copy2(ROOT / name, folder / name)
    clone = folder.with_name("clone")
    who = ["-c", "user.name=Tests", "-c", "user.email=tests@localhost"]
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "as it stands"]):
        subprocess.run([GIT, *words], cwd=folder, check=True)
    subprocess.run([GIT, "clone", "--quiet", folder, clone], check=True)
    return clone


@pytest.fixture
def suite(clone: Path, tmp_path: Path) -> Iterator[Suite]:
    """A suite that was just set up, and runs in the background as the pages have it."""
    suite = prepare(tmp_path, clone, ADMIN_PASSWORD=PASSWORD)
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
    """What the pages call by name: who asks, and things that are there."""
    answer = requests.post(
        f"{suite.url}/auth/login", json={"username": "admin", "password": PASSWORD}, timeout=30
    )
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    admin = Person(suite.url, session, answer.json())
    key = admin(
        "POST", "/auth/api-keys", json={"name": "operator", "permissions": ["system:read"]}
    ).json()
    document = admin.upload(DATA / "multi_page.pdf")
    asked = admin(
        "POST", "/agent/query", json={"user_request": "Who patented the typewriter in 1868?"}
    )
    return {
        "GATEWAY": suite.url,
        "TOKEN": answer.json()["access_token"],
        "API_KEY": key["key"],
        "DOCUMENT_ID": document["id"],
        "REQUEST_ID": asked.headers["X-Request-ID"],
        "RUN_ID": run_of(admin, asked.json()["session_id"]),
    }


def run_of(person: Person, session_id: str) -> str:
    messages = person("GET", f"/agent/sessions/{session_id}").json()["messages"]
    return str(next(each["run_id"] for each in messages if each.get("run_id")))


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "page", [page for page in pages() if any(map(here, blocks(page)))], ids=lambda page: page.stem
)
def test_what_the_page_tells_to_type_works(page, clone, suite, variables):
    for block in filter(here, blocks(page)):
        typed = block.text.replace("127.0.0.1:5000", suite.url.removeprefix("http://"))
        done = subprocess.run(
            [BASH, "-c", PRELUDE + typed],
            cwd=clone,
            env=suite.environment | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, f"{block.text}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
