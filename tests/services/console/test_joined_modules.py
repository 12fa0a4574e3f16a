"""The modules of the first screen are joined into one file; the others import from it."""

import re

import pytest

from backend.services.console.domain.joined_modules import UnsupportedModule, join_modules

MODULES = {
    "app.js": (
        "// Entry.\n\n"
        'import { a, b as c } from "./lib/a.js";\n'
        'import * as b from "./lib/b.js";\n'
        'import texts from "./locale/en.js";\n'
        'const load = () => import("./pages/rare.js");\n'
    ),
    "lib/a.js": (
        'import { b } from "./b.js";\n'
        "export const a = 1;\n"
        "export async function* list() {}\n"
        "export class A {}\n"
        "export { b };\n"
        "const texts = (name) => import(`../locale/${name}.js`);\n"
        "const url = new URL('../styles/a.css', import.meta.url);\n"
    ),
    "lib/b.js": "export const b = 1;\n",
    "locale/en.js": 'export default {\n  export: "Export",\n};\n',
    "pages/rare.js": (
        "// Rare.\n"
        'import { a } from "../lib/a.js";\n'
        'import { other } from "./other.js";\n'
        "export const page = () => a + other;\n"
    ),
    "pages/other.js": "export const other = 1;\n",
}


def test_joined_modules_follow_those_that_they_import():
    script = join_modules(MODULES, "app.js")["joined.js"]

    places = [script.index(f'modules["{name}"] = ') for name in ("lib/b.js", "lib/a.js", "app.js")]
    assert places == sorted(places)
    assert 'rare.js"] = ' not in script


def test_joined_module_reads_imports_from_and_returns_exports_to_the_others():
    script = join_modules(MODULES, "app.js")["joined.js"]

    assert 'const { a, b: c } = modules["lib/a.js"];' in script
    assert 'const b = modules["lib/b.js"];' in script
    assert "return { a, list, A, b };" in script
    assert script.count("import ") == 0
    assert len(re.findall("^export ", script, re.MULTILINE)) == 1


def test_default_export_of_an_object_is_joined():
    script = join_modules(MODULES, "app.js")["joined.js"]

    assert 'const { default: texts } = modules["locale/en.js"];' in script
    assert 'const defaultExport = {\n  export: "Export",\n};' in script
    assert "return { default: defaultExport };" in script


def test_addresses_in_joined_modules_are_relative_to_the_joined_file():
    script = join_modules(MODULES, "app.js")["joined.js"]

    assert 'import("./pages/rare.js")' in script
    assert "import(`./locale/${name}.js`)" in script
    assert "new URL('../styles/a.css', new URL(\"./lib/a.js\", import.meta.url).href)" in script


def test_other_modules_import_joined_ones_from_the_joined_file():
    modules = join_modules(MODULES, "app.js")

    assert modules["pages/rare.js"] == (
        'import { modules } from "../joined.js"; // Rare.\n'
        'const { a } = modules["lib/a.js"];\n'
        'import { other } from "./other.js";\n'
        "export const page = () => a + other;\n"
    )
    assert modules["pages/other.js"] == MODULES["pages/other.js"]
    assert set(modules) == {"joined.js", "pages/rare.js", "pages/other.js"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("lib/b.js", "export default 1;\n"),
        ("lib/b.js", "export let b = 1;\n"),
        ("lib/b.js", 'export * from "./c.js";\n'),
        ("lib/b.js", 'import "../pages/other.js";\n'),
        ("lib/b.js", 'import { a } from "./a.js";\n'),
        ("lib/b.js", 'import { c } from "./missing.js";\n'),
        ("lib/b.js", 'const load = () => import("./a.js");\n'),
        ("pages/rare.js", 'import "../lib/a.js";\n'),
        ("pages/rare.js", 'export { a } from "../lib/a.js";\n'),
        ("pages/rare.js", 'const a = await import("../lib/a.js");\n'),
    ],
)
def test_unsupported_imports_and_exports_are_rejected(name, text):
    with pytest.raises(UnsupportedModule, match=name):
        join_modules(MODULES | {name: text}, "app.js")
