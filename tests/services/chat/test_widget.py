"""Files of the widget: sizes, headers, and the content security policy of the frame page."""

import re
from gzip import compress
from pathlib import Path

import pytest
from sqlalchemy import update

import backend.services.chat
from backend.services.chat.store.tables import Account
from tests.services.chat.test_visitors import OTHER, SHOP, read_config

STATIC = Path(backend.services.chat.__file__).parent / "static"
SCRIPTS = sorted(STATIC.rglob("*.js"))
MAX_COMPRESSED_BYTES = 25_000
MAX_LINES = 250
_UNSAFE = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc"
    r"|setAttribute\(\s*[\"']style|document\.cookie"
)


@pytest.fixture
def account(client, manager, components):
    settings = {
        "origins": [SHOP, OTHER, "https://wrong.example/path", "https://x.example'; script-src *"],
        "title": '<b>Shop "&" Co</b> {{config}}',
        "greeting": "שלום </script>",
        "colour": "#ffcc00",
    }
    # The schema refuses white space, but rows can be older than a rule.
    body = {"channel": "web", "name": "Shop", "settings": settings | {"origins": [SHOP]}}
    account_id = client.post("/accounts", json=body, headers=manager).json["id"]
    with components.database.across_tenants().write() as session:
        session.execute(update(Account).where(Account.id == account_id).values(settings=settings))
    return account_id


def test_script_page_and_files_together_are_small(client, account):
    page = client.get(f"/web/{account}")
    files = [path for path in STATIC.rglob("*") if path.is_file() and path.suffix != ".html"]

    size = len(compress(page.data, 9)) + sum(
        len(compress(path.read_bytes(), 9, mtime=0)) for path in files
    )

    assert size <= MAX_COMPRESSED_BYTES, size


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_script_is_short_and_creates_no_html(script):
    text = script.read_text()

    assert _UNSAFE.search(text) is None
    assert len(text.splitlines()) <= MAX_LINES
    for target in re.findall(r'from "(\.[^"]+)"', text):
        assert (script.parent / target).is_file(), target


def test_languages_have_the_same_texts():
    source = (STATIC / "frame" / "texts.js").read_text()
    english, german = source.split("  de: {")

    def read_keys(part):
        return re.findall(r"^    (\w+):", part, re.MULTILINE)

    assert read_keys(english) == read_keys(german)
    scripts = "".join(path.read_text() for path in SCRIPTS)
    authors = {"assistant", "colleague"}
    for key in set(read_keys(english)) - authors:
        assert re.search(rf'"{key}"|\b{key}\b(?=\))', scripts), key


def test_frame_page_can_be_shown_by_valid_origins_only(client, account):
    page = client.get(f"/web/{account}", headers={"Origin": "https://evil.example"})

    policy = dict(
        directive.split(" ", 1) for directive in page.headers["Content-Security-Policy"].split("; ")
    )
    assert policy["frame-ancestors"] == f"{SHOP} {OTHER}"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["default-src"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert "X-Frame-Options" not in page.headers
    assert page.headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in page.headers
    assert "Set-Cookie" not in page.headers


def test_frame_page_is_readable_by_listed_sites_and_not_in_a_sandbox(client, account):
    listed = client.get(f"/web/{account}", headers={"Origin": SHOP})
    sandbox = client.get(f"/web/{account}", headers={"Origin": "null"})

    assert listed.headers["Access-Control-Allow-Origin"] == SHOP
    assert "Access-Control-Allow-Origin" not in sandbox.headers


def test_frame_page_of_an_account_without_sites_cannot_be_shown(client, manager):
    client.get("/accounts", headers=manager)

    page = client.get("/web/web_tenant-team")

    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["X-Frame-Options"] == "DENY"


def test_texts_of_the_account_are_escaped(client, account):
    page = client.get(f"/web/{account}")

    assert "<b>" not in page.text
    assert page.text.count("</script>") == 1
    assert "<title>&lt;b&gt;Shop &quot;&amp;&quot; Co&lt;/b&gt; {{config}}</title>" in page.text
    config = read_config(page)
    assert config["title"] == '<b>Shop "&" Co</b> {{config}}'
    assert (config["colour"], config["isOpen"]) == ("#ffcc00", True)


def test_files_have_versioned_urls_and_can_be_loaded_in_a_sandbox(client, account):
    page = client.get(f"/web/{account}").text
    urls = re.findall(r'(?:href|src)="\.\./(widget/[^"]+)"', page)

    assert len(urls) == 2
    for url in urls:
        file = client.get(f"/{url}", headers={"Origin": "null"})
        assert file.status_code == 200
        assert file.headers["Access-Control-Allow-Origin"] == "*"
        assert file.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        assert "immutable" in file.headers["Cache-Control"]
    assert client.get("/widget/0123456789ab/frame.js").status_code == 404
    assert client.get(f"/{urls[0].rsplit('/', 1)[0]}/..%2Fwidget.js").status_code == 404


def test_script_is_revalidated_after_some_minutes(client):
    script = client.get("/widget.js", headers={"Accept-Encoding": "gzip"})
    again = client.get("/widget.js", headers={"If-None-Match": script.headers["ETag"]})

    assert script.headers["Content-Type"].startswith("text/javascript")
    assert script.headers["Cache-Control"] == "public, max-age=600"
    assert script.headers["Content-Encoding"] == "gzip"
    assert again.status_code == 304
