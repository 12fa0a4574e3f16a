"""Regular expressions take linear time on any text, so that no text can stop a process.

`re` holds the interpreter lock while it searches: a pattern that takes quadratic time stops all
threads of a process for seconds on a text of 20,000 characters, and for hours on one of 1 MB.
"""

import ast
import importlib
import re
from pathlib import Path
from time import thread_time

import pytest

ROOT = Path(__file__).parents[2]
LENGTH = 1000
# Shorter times are those of a linear search, and too short to be compared.
MAX_SECONDS = 0.002
# For a text of four times the length: 4 is linear, 16 quadratic. A first measurement that is
# clearly linear is not repeated.
MAX_GROWTH = 9
CLEARLY_LINEAR_GROWTH = 5
# Files whose patterns are used on short texts only: the maximum number of characters.
MAX_CHARACTERS = {
    "backend/services/agent/domain/rule_based/arithmetic_requests.py": 300,
    "backend/services/agent/domain/rule_based/number_words.py": 300,
    "backend/services/agent/domain/rule_based/request_kinds.py": 600,
    "backend/services/agent/domain/rule_based/rules.py": 300,
    "backend/services/agent/domain/rule_based/time_requests.py": 300,
    "backend/services/rag/extraction/office/number_formats/tokens.py": 255,
}
MAX_SECONDS_FOR_SHORT_TEXT = 0.05
UNITS = [
    *". \t\n\r\u00a0\u200baA1é中。…-/'\"`[]()<&#=_\\:;,{}%*+|~@!?\u0301\u00ad\x00",
    *("a ", "A ", "1 ", "1,", "1.", "a.", "a:", "a-", "a@", "a.b", "A.B.", "Ab Cd ", "a'b "),
    *("- ", "-\n", "\n ", " \t", ". ", "! ", "??? ", "[1", "[1,", "[1] ", "(1", "1 + ", "1-1"),
    *("\r\n", "# a\n", "```\n", "a: b\n", "&amp;", "<a ", "\u00ad ", "http://", "Mr. "),
]  # fmt: skip
FRAMES = [("", ""), ("", "!"), ("a", "x\n"), ("[1", ""), ("what is ", "\n")]


FILES = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / "backend").rglob("*.py")
    if "import re\n" in path.read_text()
)


def find_patterns(path):
    """Yield the patterns of the file, each with the method that uses it."""
    tree = ast.parse((ROOT / path).read_text())
    yield from find_constants(path, tree)
    yield from find_literals(tree)


def find_constants(path, tree):
    names = [
        node.targets[0].id if isinstance(node, ast.Assign) else node.target.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        and isinstance(node.targets[0] if isinstance(node, ast.Assign) else node.target, ast.Name)
    ]
    module = None
    for name in names:
        if re.search(rf"^{name}\b.*=.*re\.compile", ast.unparse(tree), re.M):
            module = module or importlib.import_module(path.removesuffix(".py").replace("/", "."))
            methods = {
                node.attr
                for node in ast.walk(tree)
                if isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == name
            }
            value = getattr(module, name)
            for pattern in value if isinstance(value, tuple | list) else [value]:
                if isinstance(pattern, re.Pattern):
                    yield pattern, get_method(methods)


def find_literals(tree):
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "re"
            and node.func.attr not in {"compile", "escape"}
            and isinstance(node.args[0], ast.Constant)
        ):
            flags = re.I if "re.I" in ast.unparse(node) else 0
            pattern = re.compile(node.args[0].value, flags)
            yield pattern, get_method({node.func.attr})


def get_method(methods):
    return "match" if methods and methods <= {"match", "fullmatch"} else "finditer"


def seconds(pattern, method, text, runs):
    def run():
        start = thread_time()
        if method == "match":
            pattern.match(text)
        else:
            for _ in pattern.finditer(text):
                pass
        return thread_time() - start

    return min(run() for _ in range(runs))


def build_text(pattern, unit, frame, length):
    text = frame[0] + unit * (length // len(unit)) + frame[1]
    return text.encode() if isinstance(pattern.pattern, bytes) else text


def is_linear(pattern, method, unit, frame, length=LENGTH):
    short, long = (build_text(pattern, unit, frame, size) for size in (length, 4 * length))
    first = seconds(pattern, method, long, 1)
    if first < MAX_SECONDS:
        return True
    if first < CLEARLY_LINEAR_GROWTH * seconds(pattern, method, short, 1):
        return True
    # A busy machine only adds to a time, so the shortest of several is compared.
    return seconds(pattern, method, long, 9) < MAX_GROWTH * seconds(pattern, method, short, 27)


def is_fast(pattern, method, unit, frame, length):
    text = build_text(pattern, unit, frame, length)
    return (
        seconds(pattern, method, text, 1) < MAX_SECONDS_FOR_SHORT_TEXT
        or seconds(pattern, method, text, 5) < MAX_SECONDS_FOR_SHORT_TEXT
    )


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in FILES if path not in MAX_CHARACTERS])
def test_patterns_take_linear_time(path):
    assert [
        (pattern.pattern, unit, frame)
        for pattern, method in find_patterns(path)
        for unit in UNITS
        for frame in FRAMES
        if not is_linear(pattern, method, unit, frame)
    ] == []


@pytest.mark.parametrize(("path", "length"), MAX_CHARACTERS.items())
def test_patterns_for_short_texts_are_fast(path, length):
    patterns = list(find_patterns(path))

    assert patterns
    assert [
        (pattern.pattern, unit, frame)
        for pattern, method in patterns
        for unit in UNITS
        for frame in FRAMES
        if not is_fast(pattern, method, unit, frame, length)
    ] == []


def test_quadratic_pattern_is_detected():
    assert not is_linear(re.compile(r"[.!?]+(?=\s)"), "finditer", ".", ("", "!"), LENGTH // 2)
