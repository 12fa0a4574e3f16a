"""Pages of PDFs as images, and the boxes of quotes on them."""

import io
import re
import threading
import unicodedata
from collections import Counter

import pypdfium2
import pytest
from PIL import Image

from backend.chassis.web.app_factory import get_component
from backend.services.rag.domain.page_views import PageViewService
from backend.services.rag.extraction.page_views import PageViewer
from tests.documents import TextLine, encrypted, pdf, picture
from tests.services.rag.conftest import DATA, PDF, ApiUser

LINES = [
    "The warranty of the X-200 pump lasts 37 months.",
    "Its motor is covered for 24 months only,",
    "and the seals for 12 months.",
]


def write_lines(*lines, top=700):
    return [TextLine(72, top - 20 * number, text) for number, text in enumerate(lines)]


def two_columns():
    left = [f"left column line {number} with words that fill it" for number in range(12)]
    right = [f"right column row {number} has other words in it" for number in range(12)]
    return [
        line
        for number in range(12)
        for line in (
            TextLine(50, 700 - 14 * number, left[number]),
            TextLine(330, 700 - 14 * number, right[number]),
        )
    ]


# File, number of the page, and the first words of quotes of seven words.
QUOTES = [
    pytest.param(PDF, 1, (0, 30, 90, 200), id="prose"),
    pytest.param(PDF, 3, (3, 61, 150), id="lists"),
    pytest.param(
        DATA / "2305.03393v1-pg9.pdf",
        1,
        (0, 40, 150, 220),
        id="tables and ligatures",
        marks=pytest.mark.slow,
    ),
    pytest.param(
        DATA / "right_to_left_01.pdf",
        1,
        (0, 20, 60, 100),
        id="right to left",
        marks=pytest.mark.slow,
    ),
    pytest.param(pdf(write_lines(*LINES), rotate=90), 1, (0, 5, 14), id="rotated"),
    pytest.param(pdf(two_columns()), 1, (0, 30, 80, 120, 150), id="columns"),
]


@pytest.fixture(scope="module")
def user(shared_user):
    return shared_user("user-pages")


def get_text(user, document):
    pages = user("GET", f"/documents/{document['id']}/text").json["pages"]
    return {page["number"]: page for page in pages}


def find_boxes(user, document, page, start, end):
    response = user("GET", f"/documents/{document['id']}/pages/{page}?start={start}&end={end}")
    assert response.status_code == 200, response.text
    return response.json


def read_boxes(content, number, boxes):
    """Return the characters whose middle is in one of *boxes*, per box, without white space."""
    document = pypdfium2.PdfDocument(content)
    page = document[number - 1]
    view = page.get_textpage()
    rotation = page.get_rotation()
    width, height = page.get_size()
    if rotation in (90, 270):
        width, height = height, width
    texts = ["" for _ in boxes]
    for index in range(view.count_chars()):
        left, bottom, right, top = view.get_charbox(index)
        x, y = (left + right) / 2 / width, 1 - (bottom + top) / 2 / height
        if rotation == 90:
            x, y = 1 - y, x
        for position, box in enumerate(boxes):
            if box[0] <= x <= box[2] and box[1] <= y <= box[3]:
                texts[position] += view.get_text_range(index, 1).strip()
    document.close()
    return texts


def count_letters(text):
    return Counter(char for char in unicodedata.normalize("NFKC", text) if char.isalnum())


@pytest.mark.parametrize(("content", "number", "first_words"), QUOTES)
def test_quotes_are_marked_on_their_lines(user, content, number, first_words):
    raw = content if isinstance(content, bytes) else content.read_bytes()
    document = user.upload(raw, "quotes.pdf")
    page = get_text(user, document)[number]
    words = [word.span() for word in re.finditer(r"\S+", page["text"])]
    for first_word in first_words:
        start, end = words[first_word][0], words[first_word + 6][1]
        quote = page["text"][start:end]

        found = find_boxes(user, document, number, page["start"] + start, page["start"] + end)

        assert found["coverage"] >= 0.9, quote
        assert 1 <= len(found["boxes"]) <= 2 + quote.count("\n") + quote.count("\t"), quote
        assert all(0 <= left < right <= 1 for left, _, right, _ in found["boxes"])
        assert all(0 <= top < bottom <= 1 for _, top, _, bottom in found["boxes"])
        marked = count_letters("".join(read_boxes(raw, number, found["boxes"])))
        expected = count_letters(quote)
        # No mark on another line: nothing but the quote is inside of the boxes.
        assert (marked - expected).total() <= 0.1 * expected.total(), quote
        assert (expected - marked).total() <= 0.1 * expected.total(), quote


def test_quote_across_two_pages_is_marked_on_both(user):
    first, second = "The report ends on the", "next page with this line."
    content = pdf(write_lines(first), write_lines(second))
    document = user.upload(content, "two-pages.pdf")
    pages = get_text(user, document)
    end = pages[2]["start"] + len(second)

    on_first = find_boxes(user, document, 1, pages[1]["start"], end)
    on_second = find_boxes(user, document, 2, pages[1]["start"], end)

    assert read_boxes(content, 1, on_first["boxes"]) == [first.replace(" ", "")]
    assert read_boxes(content, 2, on_second["boxes"]) == [second.replace(" ", "")]
    assert on_first["coverage"] == on_second["coverage"] == 1.0


def test_quote_of_another_page_has_no_boxes(user):
    document = user.upload(pdf(write_lines("Page one."), write_lines("Page two.")), "other.pdf")

    found = find_boxes(user, document, 2, 0, 5)

    assert (found["boxes"], found["coverage"]) == ([], 0.0)
    assert (found["page"], found["pages"]) == (2, 2)


def test_page_without_a_quote_has_its_size(user):
    document = user.upload(pdf(write_lines(*LINES), rotate=90), "size.pdf")

    page = user("GET", f"/documents/{document['id']}/pages/1").json

    # The displayed page is rotated.
    assert (page["width"], page["height"]) == (792, 612)
    assert page["boxes"] == []


def test_repeated_words_are_marked_at_the_right_place(user):
    lines = [f"Row {number} costs 0.50 EUR" for number in range(1, 9)]
    content = pdf(write_lines(*lines))
    document = user.upload(content, "rows.pdf")
    page = get_text(user, document)[1]
    start = page["text"].index("Row 6 costs") + len("Row 6 costs ")

    found = find_boxes(user, document, 1, start, start + len("0.50 EUR"))

    (box,) = found["boxes"]
    assert box[1] < 1 - (700 - 20 * 5) / 792 < box[3] + 0.01


@pytest.mark.parametrize("form", ["webp", "png"])
@pytest.mark.parametrize("width", [400, 1200])
def test_page_is_rendered_in_the_requested_size(user, form, width):
    document = user.upload(PDF)

    response = user("GET", f"/documents/{document['id']}/pages/2.{form}?width={width}")

    assert response.status_code == 200
    assert response.content_type == f"image/{form}"
    assert response.headers["Cache-Control"] == "private, no-cache"
    image = Image.open(io.BytesIO(response.data))
    assert image.format == form.upper()
    assert abs(image.width - width) <= 1
    assert image.convert("L").getextrema()[0] < 100


@pytest.mark.parametrize("query", ["width=1000", "width=4000", "width=x", "height=4"])
def test_other_sizes_are_rejected(user, query):
    document = user.upload(PDF)

    assert user("GET", f"/documents/{document['id']}/pages/1.webp?{query}").status_code == 422


def test_unchanged_page_is_not_rendered_again(user, monkeypatch):
    document = user.upload(PDF)
    path = f"/documents/{document['id']}/pages/3.webp?width=400"
    etag = user("GET", path).headers["ETag"]
    service = get_component(user.client.application, PageViewService)
    monkeypatch.setattr(service, "_viewer", None)

    cached = user("GET", path)
    unchanged = user("GET", path, headers={"If-None-Match": etag})

    assert cached.status_code == 200
    assert unchanged.status_code == 304
    assert unchanged.headers["ETag"] == etag
    # A 304 needs no image at all.
    other = user(
        "GET",
        f"/documents/{document['id']}/pages/3.webp?width=1800",
        headers={"If-None-Match": etag.replace("-400-", "-1800-")},
    )
    assert other.status_code == 304


def test_pages_of_foreign_and_deleted_documents_return_404_with_a_warm_cache(user, shared_user):
    document = user.upload(pdf(write_lines("A private page.")), "private.pdf")
    stranger = shared_user("user-stranger", tid="another-tenant")
    paths = [
        f"/documents/{document['id']}/pages/1",
        f"/documents/{document['id']}/pages/1?start=0&end=9",
        f"/documents/{document['id']}/pages/1.webp",
        f"/documents/{document['id']}/text?start=0&end=5",
    ]
    etag = ""
    for path in paths:
        response = user("GET", path)
        assert response.status_code == 200
        etag = response.headers.get("ETag", etag)

    headers = {"If-None-Match": etag}
    assert {stranger("GET", path, headers=headers).status_code for path in paths} == {404}
    user("DELETE", f"/documents/{document['id']}")
    assert {user("GET", path, headers=headers).status_code for path in paths} == {404}


@pytest.mark.parametrize("number", ["0", "4000", "-1", "x"])
def test_unknown_pages_return_404(user, number):
    document = user.upload(PDF)

    assert user("GET", f"/documents/{document['id']}/pages/{number}.webp").status_code == 404


def test_documents_that_are_no_pdf_have_no_pages(user):
    document = user.upload("plain text", "notes.txt")

    response = user("GET", f"/documents/{document['id']}/pages/1")

    assert (response.status_code, response.json["code"]) == (404, "page_not_found")


def test_encrypted_pdf_has_pages_only_with_its_password(user):
    content = encrypted(pdf(write_lines(*LINES)), user="open sesame")
    (document,) = user.send(content, "locked.pdf", password="open sesame").json["documents"]
    page = f"/documents/{document['id']}/pages/1"
    right = {"X-Document-Password": "open%20sesame"}

    image = user("GET", f"{page}.webp", headers=right)
    geometry = user("GET", f"{page}?start=0&end=20", headers=right)

    assert (image.status_code, image.headers["Cache-Control"]) == (200, "no-store")
    assert Image.open(io.BytesIO(image.data)).width == 1200
    assert (geometry.status_code, geometry.json["coverage"]) == (200, 1.0)
    assert get_text(user, document)[1]["text"].startswith(LINES[0])
    # What the password opened is not in the cache of the service.
    for path in (f"{page}.webp", f"{page}?start=0&end=20"):
        for headers, text in (({}, "requires"), ({"X-Document-Password": "wrong"}, "not open")):
            refused = user("GET", path, headers=headers)
            assert (refused.status_code, refused.json["code"]) == (409, "page_password_required")
            assert text in refused.json["detail"]


@pytest.mark.parametrize("password", ["%FF", "x" * 201, "a%0Ab", "%E2%80%AE"])
def test_invalid_password_of_a_pdf_is_rejected(user, password):
    (document,) = user.send(pdf(write_lines(*LINES)), "open.pdf").json["documents"]
    headers = {"X-Document-Password": password}

    response = user("GET", f"/documents/{document['id']}/pages/1.webp", headers=headers)

    assert (response.status_code, response.json["code"]) == (422, "validation_failed")


def test_text_can_be_limited_to_a_range_of_code_points(user):
    text = "🦀 crab " * 50 + "END"
    document = user.upload(text, "emoji.txt")
    start = text.index("END")

    pages = user("GET", f"/documents/{document['id']}/text?start={start}&end={start + 3}").json
    beyond = user("GET", f"/documents/{document['id']}/text?start=100000&end=100001").json

    assert pages == {"pages": [{"number": 1, "start": start, "text": "END"}]}
    assert "".join(page["text"] for page in beyond["pages"]) == ""


def test_text_range_over_two_pages_starts_at_the_range(user):
    document = user.upload(PDF)
    pages = get_text(user, document)
    whole = "".join(page["text"] for page in pages.values())
    start, end = pages[2]["start"] - 30, pages[2]["start"] + 30

    part = user("GET", f"/documents/{document['id']}/text?start={start}&end={end}").json["pages"]

    assert [page["number"] for page in part] == [1, 2]
    assert part[0]["start"] == start
    assert "".join(page["text"] for page in part) == whole[start:end]


class StuckProcesses:
    """Processes that answer only when they are released."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.started = 0

    def start(self, arguments):
        self.started += 1
        release = self.release

        class Process:
            stdin = io.StringIO()

            class stdout:  # noqa: N801
                @staticmethod
                def readline(limit):
                    release.wait(10)
                    return '{"image": "aW1hZ2U="}'

            def kill(self):
                pass

            def close(self):
                pass

        return Process()

    def has_failed(self):
        return False

    def close(self):
        pass


def test_requests_beyond_the_queue_are_rejected(app, sign_in):
    user = sign_in("user-ada")
    document = user.upload(pdf(write_lines(*LINES)), "busy.pdf")
    processes = StuckProcesses()
    service = get_component(app, PageViewService)
    service._viewer = PageViewer(processes)
    responses = []

    def request_page(width):
        client = ApiUser(app, user.headers)
        path = f"/documents/{document['id']}/pages/1.webp?width={width}"
        responses.append(client("GET", path))

    threads = [threading.Thread(target=request_page, args=(400,)) for _ in range(30)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        if len(responses) == 12:
            break
        threading.Event().wait(0.02)
    rejected = list(responses)
    processes.release.set()
    for thread in threads:
        thread.join()

    # Two run, 16 wait.
    assert [response.status_code for response in rejected] == [503] * 12
    assert rejected[0].json["code"] == "page_rendering_busy"
    assert rejected[0].headers["Retry-After"]
    assert sorted(response.status_code for response in responses) == [200] * 18 + [503] * 12


def test_hostile_page_ends_at_its_limits(user):
    # A page of 5 km, and one with a million lines of text.
    huge = pdf(write_lines("A huge page.")).replace(b"[0 0 612 792]", b"[0 0 99 99999]")
    document = user.upload(huge, "huge.pdf")

    response = user("GET", f"/documents/{document['id']}/pages/1.webp?width=1800")

    assert response.status_code in (200, 409)
    if response.status_code == 200:
        width, height = Image.open(io.BytesIO(response.data)).size
        assert width * height <= 12_100_000


@pytest.mark.slow
@pytest.mark.parametrize("turn", [0, 1, 2])
def test_quotes_of_scanned_pages_are_marked_on_their_lines(user, turn):
    lines = "The warranty of the pump\nis thirty seven months\nand covers the motor too."
    # The scan fills the page.
    size = (1100, 850) if turn == 1 else (850, 1100)
    scan = picture(lines, size=size, points=50, turn=turn, form="JPEG")
    document = user.upload(pdf(scan), f"scan-{turn}.pdf")
    page = get_text(user, document)[1]
    quote = re.search(r"seven\s*months", page["text"])

    found = find_boxes(user, document, 1, *quote.span())

    assert found["coverage"] == 1.0
    (box,) = found["boxes"]
    across, down = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    if turn == 1:  # counterclockwise: the text runs upwards
        across, down = 1 - down, across
    elif turn == 2:
        across, down = 1 - across, 1 - down
    # Line 2 is from 83 to 136 pixels, the quote in its right half.
    assert 83 / size[1] < down < 150 / size[1]
    assert 200 / size[0] < across < 550 / size[0]
