"""The page and its files."""

import gzip
import re

import pytest

from backend.services.console.app import STATIC_FOLDER

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def find_base(client):
    page = client.get("/", headers=HTML).text
    return re.search(r'src="(/console/assets/[0-9a-f]{12})/joined.js"', page)[1].removeprefix(
        "/console"
    )


@pytest.mark.parametrize("path", ["/", "/c/0af7651916cd", "/admin/health", "/documents?q=a"])
def test_every_screen_path_returns_the_page_without_caching(client, path):
    response = client.get(path, headers=HTML)

    assert response.status_code == 200
    assert response.content_type == "text/html; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-cache"


def test_page_forbids_inline_code_other_hosts_and_framing(client):
    headers = client.get("/", headers=HTML).headers
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))

    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_programs_get_a_problem_for_unknown_paths(client):
    response = client.get("/unknown", headers={"Accept": "application/json"})

    assert response.status_code == 404
    assert response.content_type == "application/problem+json"


def test_files_of_the_first_screen_are_joined_and_not_served_alone(client):
    base = find_base(client)

    script = client.get(f"{base}/joined.js").text
    assert script.index('modules["lib/a.js"] = ') < script.index('modules["app.js"] = ')
    assert client.get(f"{base}/joined.css").text == "\n".join(
        (":root {}\n", ".base {}\n", ".shell {}\n", ".conversation {}\n")
    )
    for name in ("app.js", "lib/a.js", "styles/base.css"):
        assert client.get(f"{base}/{name}").status_code == 404
    assert client.get(f"{base}/styles/rare.css").text == ".rare {}\n"


def test_page_is_not_sent_again_if_it_is_unchanged(client):
    etag = client.get("/", headers=HTML).headers["ETag"]

    response = client.get("/", headers=HTML | {"If-None-Match": etag})

    assert response.status_code == 304
    assert "Content-Security-Policy" in response.headers


def test_asset_is_immutable_and_compressed(client):
    response = client.get(f"{find_base(client)}/rare.js", headers={"Accept-Encoding": "gzip, br"})

    assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert response.content_type == "text/javascript; charset=utf-8"
    assert response.headers["Content-Encoding"] == "gzip"
    assert response.headers["Vary"] == "Accept-Encoding"
    assert gzip.decompress(response.data).endswith(b"// rare\n" * 100)


def test_asset_is_sent_uncompressed_to_clients_without_gzip(client):
    response = client.get(f"{find_base(client)}/rare.js")

    assert "Content-Encoding" not in response.headers
    assert response.headers["Vary"] == "Accept-Encoding"
    assert response.data.endswith(b"// rare\n" * 100)


@pytest.mark.parametrize(
    "path", ["/assets/000000000000/app.js", "{base}/missing.js", "{base}/../app.py"]
)
def test_old_version_and_unknown_files_return_404(client, path):
    response = client.get(path.format(base=find_base(client)), headers=HTML)

    assert response.status_code == 404
    assert response.json["code"] in ("asset_not_found", "not_found")
    assert "immutable" not in response.headers.get("Cache-Control", "")


def test_version_changes_with_any_file(static_folder, build):
    before = find_base(build(static_folder))
    (static_folder / "rare.js").write_text("export const rare = 2;\n")

    assert find_base(build(static_folder)) != before


def test_changed_files_are_served_after_a_reload_in_debug_mode(static_folder, build):
    client = build(static_folder, reloads_files=True)
    before = find_base(client)
    (static_folder / "lib" / "a.js").write_text("export const a = 2;\n")

    base = find_base(client)

    assert base != before
    assert "const a = 2;" in client.get(f"{base}/joined.js").text


def test_service_worker_controls_the_console_and_may_only_fetch_from_this_host(client):
    response = client.get("/service-worker.js")

    assert response.headers["Service-Worker-Allowed"] == "/console/"
    assert response.headers["Cache-Control"] == "no-cache"
    assert "connect-src 'self'" in response.headers["Content-Security-Policy"]
    for name in ("joined.css", "joined.js"):
        assert f"/console{find_base(client)}/{name}" in response.text
    assert "rare.js" not in response.text


def test_manifest_refers_to_files_of_the_current_version(client):
    response = client.get("/manifest.webmanifest")

    assert response.mimetype == "application/manifest+json"
    icon = response.json["icons"][0]["src"].removeprefix("/console")
    assert client.get(icon).content_type == "image/svg+xml; charset=utf-8"


def test_every_imported_module_of_the_console_exists():
    for path in STATIC_FOLDER.rglob("*.js"):
        targets = re.findall(
            r"""\b(?:from|import)\s*\(?["'](\.{1,2}/[^"']+)["']""", path.read_text()
        )
        missing = [target for target in targets if not (path.parent / target).is_file()]

        assert missing == [], path.name
