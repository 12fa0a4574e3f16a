"""A console with its own static folder."""

from pathlib import Path

import pytest

from backend.chassis.settings import CommonSettings, Env
from backend.services.console.app import create_app
from backend.services.console.settings import Settings

FILES = {
    "index.html": (
        "<!doctype html><html><head>"
        '<script type="module" src="{{assets}}/joined.js"></script>'
        '<link rel="stylesheet" href="{{assets}}/joined.css"></head></html>'
    ),
    "app.js": 'import { a } from "./lib/a.js";\nimport("./rare.js");\n',
    "lib/a.js": "export const a = 1;\n",
    "rare.js": 'import { a } from "./lib/a.js";\nexport const rare = a;\n' + "// rare\n" * 100,
    **{f"styles/{name}.css": f".{name} {{}}\n" for name in ("base", "conversation", "shell")},
    "styles/tokens.css": ":root {}\n",
    "styles/rare.css": ".rare {}\n",
    "service-worker.js": "const FILES = {{preloads}};\n",
    "manifest.webmanifest": '{"name": "Console", "icons": [{"src": "{{assets}}/icon.svg"}]}',
    "icon.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>",
}


@pytest.fixture
def static_folder(tmp_path):
    folder = tmp_path / "static"
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture
def settings(tmp_path):
    env = Env({"DATA_DIR": str(tmp_path / "data"), "SECRET_KEY": "k" * 40})
    return Settings(CommonSettings.from_env(env, "console"))


@pytest.fixture
def build(settings):
    """Return a function that creates a client of a console that serves a folder."""

    def create_client(folder: Path, *, reloads_files: bool = False):
        return create_app(Settings(settings.common, reloads_files), folder).test_client()

    return create_client


@pytest.fixture
def client(build, static_folder):
    return build(static_folder)


@pytest.fixture
def user(build, static_folder, identities):
    """Return a function that posts JSON as a signed-in user."""
    app_client = build(static_folder)
    identities.trust(app_client.application)
    headers = {"Authorization": f"Bearer {identities.token()}"}

    def post(path: str, body: object):
        return app_client.post(path, json=body, headers=headers)

    return post
