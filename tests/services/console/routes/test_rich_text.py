"""Code tokens and MathML trees."""

import pytest


def tokenize(user, language, text):
    response = user("/code", {"blocks": [{"language": language, "text": text}]})
    assert response.status_code == 200, response.text
    return [tuple(token) for token in response.json["blocks"][0]["tokens"]]


def convert(user, tex, **fields):
    response = user("/formula", {"formulas": [{"tex": tex, **fields}]})
    assert response.status_code == 200, response.text
    return response.json["formulas"][0]["tree"]


def list_names(tree):
    yield tree[0]
    for child in tree[2:]:
        if isinstance(child, list):
            yield from list_names(child)


def list_attributes(tree):
    yield from tree[1].items()
    for child in tree[2:]:
        if isinstance(child, list):
            yield from list_attributes(child)


def test_code_is_split_into_typed_tokens(user):
    tokens = tokenize(user, "python", "def f():\n    return 'a'\n")

    assert ("k", "def") in tokens
    assert ("nf", "f") in tokens


@pytest.mark.parametrize("language", ["python", "PYTHON", "js", "html", "no-such-language", ""])
@pytest.mark.parametrize(
    "text", ["", "\n\n a = '\t' \n\n", "<script>alert(1)</script>", "🦀\u202e"]
)
def test_tokens_joined_are_the_code(user, language, text):
    assert "".join(value for _, value in tokenize(user, language, text)) == text


def test_line_ends_are_normalized(user):
    assert "".join(value for _, value in tokenize(user, "python", "a\r\nb\rc")) == "a\nb\nc"


def test_long_code_is_not_highlighted(user):
    text = "x = 1\n" * 4000

    assert tokenize(user, "python", text) == [("", text)]


def test_one_request_tokenizes_several_blocks_in_order(user):
    blocks = [{"language": "json", "text": "[1]"}, {"text": "plain"}]

    response = user("/code", {"blocks": blocks})

    assert ["".join(v for _, v in block["tokens"]) for block in response.json["blocks"]] == [
        "[1]",
        "plain",
    ]


def test_formula_becomes_a_tree_of_elements(user):
    assert convert(user, r"\frac{a}{2}", display=True) == [
        "math",
        {"display": "block"},
        ["mrow", {}, ["mfrac", {}, ["mrow", {}, ["mi", {}, "a"]], ["mrow", {}, ["mn", {}, "2"]]]],
    ]
    assert convert(user, "a+b")[1] == {"display": "inline"}
    assert ["mo", {}, "+"] in convert(user, "a+b")[2]


@pytest.mark.parametrize(
    "tex",
    [
        r"\href{javascript:alert(1)}{x}",
        r"\style{position:fixed}{x}",
        r"\class{admin}{x}",
        r"\text{<script>alert(1)</script>}",
        r"\color{red;background:url(//evil.example)}x",
        r"\hspace{99999em}x",
        r"\hspace{-50em}x",
        r"\unicode{x3c}script\unicode{x3e}",
    ],
)
def test_formulas_contain_only_allowed_elements_and_attributes(user, tex):
    tree = convert(user, tex)

    names = set(list_names(tree)) if tree else set()
    attributes = dict(list_attributes(tree)) if tree else {}
    assert names <= {"math", "mrow", "mi", "mo", "mn", "mtext", "mstyle", "mspace", "merror"}
    assert not {"href", "style", "class", "id", "onclick"} & attributes.keys()
    assert not any(
        "url" in value or "99999" in value or "-50" in value for value in attributes.values()
    )


@pytest.mark.parametrize(
    "tex", [r"\frac{", "x^" * 1900 + "x", "{" * 1999 + "}" * 1999, r"\newcommand{\a}{\a\a}\a"]
)
def test_invalid_formula_has_no_tree_and_does_not_affect_others(user, tex):
    response = user("/formula", {"formulas": [{"tex": tex}, {"tex": "x"}]})

    assert response.status_code == 200
    assert response.json["formulas"][0]["tree"] is None
    assert response.json["formulas"][1]["tree"][0] == "math"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/code", {"blocks": []}),
        ("/code", {"blocks": [{"text": "x" * 100_001}]}),
        ("/code", {"blocks": [{"text": "x"}] * 33}),
        ("/formula", {"formulas": [{"tex": "x" * 4001}]}),
        ("/formula", {"formulas": [{"tex": "x", "macros": {}}]}),
    ],
)
def test_requests_beyond_the_limits_are_rejected(user, path, body):
    assert user(path, body).status_code == 422


@pytest.mark.parametrize("path", ["/code", "/formula"])
def test_anonymous_callers_are_rejected(client, path):
    assert client.post(path, json={}).status_code in (401, 503)
