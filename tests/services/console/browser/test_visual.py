"""Six screens look as before: small versions of their pictures are compared with a tolerance.

The pictures are reduced to 96 x 60 pixels, so that fonts of another machine make little difference.
After an intended change, run the tests with CONSOLE_UPDATE_PICTURES=1.
"""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.services.console.browser.console_page import ConsolePage, Person

pytestmark = [pytest.mark.browser, pytest.mark.suite, pytest.mark.slow]

PICTURES = Path(__file__).parent / "pictures"
SIZE = (96, 60)
MAX_MEAN_DIFFERENCE = 8.0
# A cell that differs by more than this has another content, not another font.
CELL_DIFFERENCE = 70
MAX_DIFFERENT_CELLS = 0.04
QUESTION = "Who patented the typewriter in 1868?"


@pytest.fixture(scope="module")
def visitor(suite: Any) -> Person:
    """A user with one document and one conversation."""
    client = suite.register_user("visual")
    client.upload(suite.root / "tests" / "data" / "multi_page.pdf")
    client("POST", "/agent/query", json={"user_request": QUESTION})
    return Person("visual", client=client)


def _open(new_console: Any, visitor: Person, **options: Any) -> ConsolePage:
    assert visitor.client is not None
    person = Person.from_client(visitor.client)
    options.setdefault("viewport", {"width": 1440, "height": 900})
    console: ConsolePage = new_console(person, **options)
    return console


def _open_answer(console: ConsolePage, visitor: Person) -> None:
    assert visitor.client is not None
    session = visitor.client("GET", "/agent/sessions").json()["items"][0]
    console.open(f"/c/{session['id']}")
    expect(console.page.locator(".source").first).to_be_visible()


def test_sign_in(new_console: Any) -> None:
    console = new_console(viewport={"width": 1440, "height": 900})
    console.open()
    expect(console.page.get_by_label("Password")).to_be_visible()
    _compare(console, "sign-in")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_home(new_console: Any, visitor: Person, theme: str) -> None:
    console = _open(new_console, visitor, color_scheme=theme)
    console.open()
    expect(console.page.locator(".example").first).to_be_visible()
    _compare(console, f"home-{theme}")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_evidence(new_console: Any, visitor: Person, theme: str) -> None:
    console = _open(new_console, visitor, color_scheme=theme)
    _open_answer(console, visitor)
    console.page.locator(".source").first.click()
    expect(console.evidence.locator(".page-image.loaded")).to_be_visible()
    _compare(console, f"evidence-{theme}")


def test_answer_on_a_phone(new_console: Any, visitor: Person) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    console = _open(new_console, visitor, **phone)
    _open_answer(console, visitor)
    _compare(console, "phone")


def _compare(console: ConsolePage, name: str) -> None:
    console.page.wait_for_load_state("networkidle")
    shot = Image.open(io.BytesIO(console.page.screenshot(animations="disabled")))
    picture = shot.convert("RGB").resize(SIZE, Image.Resampling.BOX)
    file = PICTURES / f"{name}.png"
    if os.environ.get("CONSOLE_UPDATE_PICTURES"):
        PICTURES.mkdir(exist_ok=True)
        picture.save(file, optimize=True)
    stored = np.asarray(Image.open(file).convert("RGB"), np.int16)
    difference = np.abs(np.asarray(picture, np.int16) - stored).max(axis=2)
    assert difference.mean() <= MAX_MEAN_DIFFERENCE
    assert (difference > CELL_DIFFERENCE).mean() <= MAX_DIFFERENT_CELLS
