"""Markdown in a real browser: CommonMark, hostile texts, and streams that equal the whole text."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.services.console.browser.markdown_examples import (
    EXAMPLES,
    hostile_texts,
    mixed_texts,
)
from tests.services.console.browser.static_pages import StaticPage

pytestmark = pytest.mark.browser

_TREE = ["math", {"display": "block", "onclick": "alert(1)"}, ["mi", {}, "x"]]

# Return the HTML without what every element of its kind has, so that expectations are readable.
_SIMPLIFY = """
const simplify = (root) => {
  for (const element of [...root.querySelectorAll("figure.code-block")]) {
    const pre = document.createElement("pre");
    pre.textContent = element.querySelector("code").textContent;
    element.replaceWith(pre);
  }
  for (const element of [...root.querySelectorAll(".formula")]) {
    const formula = document.createElement("math");
    formula.textContent = element.textContent;
    element.replaceWith(formula);
  }
  for (const box of [...root.querySelectorAll(".table-scroll")]) box.replaceWith(...box.childNodes);
  for (const element of root.querySelectorAll("*")) {
    for (const name of ["dir", "translate", "target", "rel", "scope", "disabled", "aria-label"]) {
      element.removeAttribute(name);
    }
  }
  return root.innerHTML;
};
const { renderMarkdown, MarkdownStream } = await load("ui/rich_text.js");
const show = (text, citations = []) => {
  const root = document.createElement("div");
  root.append(renderMarkdown(text, { citations }));
  return root;
};
const find = async (root, selector) => {
  for (let attempt = 0; attempt < 500 && !root.querySelector(selector); attempt += 1) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return root.querySelector(selector);
};
"""

# Elements and attributes that an answer may consist of.
_CHECK_ALLOWED = """
const ELEMENTS = new Set(("p h2 h3 h4 h5 h6 ul ol li blockquote hr br em strong del code pre"
  + " figure figcaption span div a button svg path line rect text g i input table caption thead"
  + " tbody tr th td").split(" "));
const ATTRIBUTES = new Set(("class dir translate href target rel type tabindex role aria-label"
  + " title aria-hidden viewBox d start data-marker data-source disabled scope x y x1 x2 y1 y2"
  + " width height rx text-anchor").split(" "));
const SCHEMES = ["https:", "http:", "mailto:", "tel:"];
const check = (root) => [...root.querySelectorAll("*")].flatMap((element) => {
  const findings = ELEMENTS.has(element.localName) ? [] : [element.localName];
  for (const { name, value } of element.attributes) {
    if (!ATTRIBUTES.has(name)) findings.push(`${element.localName}@${name}`);
    if (name === "href" && !/^(https?:\\/\\/[^/]|mailto:|tel:)/i.test(value)) findings.push(value);
    if (name === "href" && !SCHEMES.includes(element.protocol)) findings.push(element.href);
  }
  return findings;
});
"""


@pytest.fixture(scope="module")
def page(browser: Any) -> Iterator[StaticPage]:
    def tokenize(query: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        del query
        blocks = [{"tokens": [["k", block["text"]]]} for block in body["blocks"]]
        return {"blocks": blocks}

    context = browser.new_context()
    static = StaticPage(context, {"POST /console/code": tokenize})
    static.open_empty()
    yield static
    context.close()


@pytest.fixture(autouse=True)
def no_findings(page: StaticPage) -> Iterator[None]:
    page.findings.clear()
    yield
    assert page.findings == []


def test_markdown_becomes_the_elements_of_commonmark(page: StaticPage) -> None:
    texts = [text for text, _ in EXAMPLES]
    shown = page.run(f"{_SIMPLIFY} return argument.map((text) => simplify(show(text)));", texts)
    wrong = [
        (text, html, expected)
        for (text, expected), html in zip(EXAMPLES, shown, strict=True)
        if html != expected
    ]
    assert wrong == []


def test_hostile_markdown_becomes_only_allowed_elements(page: StaticPage) -> None:
    texts = hostile_texts() + mixed_texts()
    findings = page.run(
        f"{_SIMPLIFY} {_CHECK_ALLOWED}"
        "return argument.flatMap((text) => {"
        "  const root = show(text);"
        "  document.body.append(root);"
        "  const found = check(root);"
        "  for (const link of root.querySelectorAll('a')) {"
        "    link.dispatchEvent(new MouseEvent('mouseover'));"
        "  }"
        "  root.remove();"
        "  return found.map((finding) => [text, finding]);"
        "});",
        texts,
    )
    assert findings == []


def test_text_in_pieces_becomes_the_same_elements_as_the_whole_text(page: StaticPage) -> None:
    generator = random.Random(18)  # noqa: S311 - the cases must be the same in every run
    texts = [text for text, _ in EXAMPLES] + mixed_texts()[:120]
    texts += ["\n\n".join(generator.sample(texts, 4)) for _ in range(80)]
    texts += ["\n".join(generator.sample(texts[:60], 4)) for _ in range(80)]
    cases = []
    for text in texts:
        cuts = sorted(generator.sample(range(len(text) + 1), min(6, len(text))))
        cases.append([text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)])
    different = page.run(
        f"{_SIMPLIFY}"
        "const frame = () => new Promise(requestAnimationFrame);"
        "const createStream = () => new MarkdownStream({ citations: [] });"
        "const streams = argument.map((pieces) => ({ pieces, stream: createStream() }));"
        "for (let at = 0; at < 8; at++) {"
        "  for (const { pieces, stream } of streams) if (pieces[at]) stream.append(pieces[at]);"
        "  await frame();"
        "}"
        "return streams.flatMap(({ pieces, stream }) => {"
        "  const whole = simplify(show(pieces.join('')));"
        "  const streamed = simplify(stream.finish());"
        "  return whole === streamed ? [] : [{ pieces, whole, streamed }];"
        "});",
        cases,
    )
    assert different == []


def test_finished_blocks_keep_their_elements_while_text_arrives(page: StaticPage) -> None:
    is_kept = page.run(
        f"{_SIMPLIFY}"
        "const stream = new MarkdownStream();"
        "const frame = () => new Promise(requestAnimationFrame);"
        "stream.append('first\\n\\n- a\\n- b\\n'); await frame();"
        "const [first, list] = stream.element.children; const item = list.children[0];"
        "stream.append('- c\\n- d\\n'); await frame();"
        "return [first, list, item].every((element) => stream.element.contains(element));"
    )
    assert is_kept is True


def test_open_emphasis_code_and_links_are_shown_without_their_marks(page: StaticPage) -> None:
    shown = page.run(
        f"{_SIMPLIFY}"
        "const frame = () => new Promise(requestAnimationFrame);"
        "const result = [];"
        "for (const text of argument) {"
        "  const stream = new MarkdownStream({ citations: [] });"
        "  stream.append(text); await frame();"
        "  result.push(simplify(stream.element));"
        "}"
        "return result;",
        ["a **bold", "a `co", "see [label](https://x", "end [1", "```py\nx = 1"],
    )
    assert shown == [
        "<p>a <strong>bold</strong></p>",
        "<p>a <code>co</code></p>",
        "<p>see label</p>",
        "<p>end</p>",
        "<pre>x = 1</pre>",
    ]


def test_markers_become_buttons_when_the_citations_arrive(page: StaticPage) -> None:
    html = page.run(
        f"{_SIMPLIFY}"
        "const stream = new MarkdownStream();"
        "stream.append('Yes [1]. No [7]. Both [1, 7].');"
        "stream.setCitations([{ marker: 1, filename: 'a.pdf', page: 3 }]);"
        "return simplify(stream.finish());"
    )
    button = '<button type="button" class="citation" data-marker="1">1</button>'
    assert html == f"<p>Yes {button}. No [7]. Both {button}.</p>"


def test_code_blocks_of_a_text_are_sent_in_one_request(page: StaticPage) -> None:
    page.calls.clear()
    classes = page.run(
        f"{_SIMPLIFY}"
        "const root = show(argument);"
        "await find(root, 'code span');"
        "return [...root.querySelectorAll('code span')].map((span) => span.className);",
        "```py\na = 1\n```\n\n```js\nb\n```",
    )
    assert classes == ["token-k", "token-k"]
    assert [name for name, _, _ in page.calls] == ["POST /console/code"]


def test_only_pages_of_packages_are_links_inside_the_console(page: StaticPage) -> None:
    links = page.run(
        f"{_SIMPLIFY} const root = show(argument);"
        "return [...root.querySelectorAll('a')].map((a) => [a.getAttribute('href'), a.target]);",
        "[a](/console/packages/pkg_1?event=evt_2) [b](/console/settings) [c](//evil.test/console)"
        " [d](/console/packages/pkg_1/../../admin) [e](https://example.org)",
    )
    assert links == [
        ["/console/packages/pkg_1?event=evt_2", ""],
        ["https://example.org", "_blank"],
    ]


def test_formula_tree_becomes_only_allowed_mathml(page: StaticPage) -> None:
    tree = [
        "math",
        {"display": "block", "onclick": "alert(1)", "href": "javascript:alert(1)"},
        ["script", {}, "alert(1)"],
        ["mi", {"mathvariant": "normal", "style": "color:red"}, "<b>x</b>"],
    ]
    page.answers["POST /console/formula"] = {"formulas": [{"tree": tree}]}
    html = page.run(
        f"{_SIMPLIFY}const root = show('$$z^2$$');return (await find(root, 'math')).outerHTML;"
    )
    del page.answers["POST /console/formula"]
    assert html == (
        '<math display="block"><mrow>alert(1)</mrow>'
        '<mi mathvariant="normal">&lt;b&gt;x&lt;/b&gt;</mi></math>'
    )


def test_chart_block_becomes_a_picture_with_a_table(page: StaticPage) -> None:
    cells = page.run(
        f"{_SIMPLIFY}"
        "const root = show(argument);"
        "return [root.querySelectorAll('svg rect.series-1').length,"
        " ...[...root.querySelectorAll('td')].map((cell) => cell.textContent)];",
        '```chart\n{"title": "Pumps", "labels": ["May", "June", "July"],'
        ' "series": [{"name": "hours", "values": [4, null, 6]}]}\n```',
    )
    assert cells == [2, "4", "\u2013", "6"]


def test_nested_and_repeated_marks_take_linear_time(page: StaticPage) -> None:
    """Every text is 40,000 characters; a quadratic parser would need minutes for one of them."""
    marks = [">", "> a\nb\n", "[", "*a ", "**a _b", "```a", "![", "- ", "[a](", "<", "&", "$a "]
    marks += ["\\(", "|a", "~~a", "[[1]", "a\n> "]
    lengths = page.run(
        f"{_SIMPLIFY}"
        "return argument.map((mark) => show(mark.repeat(40000 / mark.length)).textContent.length);",
        marks,
    )
    assert len(lengths) == len(marks)
