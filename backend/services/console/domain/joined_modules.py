"""Join ES modules into one file, so that a browser loads them with one request.

A joined module becomes a function that returns its exports, in an object by path:

    modules["lib/dom.js"] = (() => {
    const { signal } = modules["lib/reactive.js"];
    …
    return { html, append };
    })();

The other modules are loaded when they are needed. They get the exports of a joined module from that
object too: a second copy of it would have a state of its own. All lines keep their order and, but
for imports and exports, their text.

The patterns below are the supported syntax. Other imports and exports raise `UnsupportedModule`.
"""

import re
from collections.abc import Mapping, Set
from posixpath import dirname, normpath, relpath

JOINED_SCRIPT = "joined.js"

# import { a, b as c } from "./d.js";    import * as e from "./f.js";    import g from "./h.js";
_IMPORT = re.compile(
    r'^import (?:\{([^}]*)\}|\* as (\w+)|(\w+)) from "(\.{1,2}/[^"]+)";$', re.MULTILINE
)
# export const a = …    export async function* b() {…}
_EXPORT = re.compile(r"^export (?=(?:const|class|(?:async )?function\*?) (\w+))", re.MULTILINE)
# export { a, b };
_EXPORT_LIST = re.compile(r"^export \{([\w, ]*)\};$", re.MULTILINE)
# export default {…};
_EXPORT_DEFAULT = re.compile(r"^export default (?=\{)", re.MULTILINE)
# import("./a.js")    import(`../b/${c}.js`)
_DYNAMIC_IMPORT = re.compile(r"""\bimport\((["'`])(\.{1,2}/[^"'`$]*)""")
# The same outside of comments, for a fixed address. What is joined needs none.
_DYNAMIC_IMPORT_OF_FILE = re.compile(r"""(?:=>|\bawait)\s*import\(["'`](\.{1,2}/[^"'`$]*)["'`]""")
# Any import or export, but not a key of an object; its module, if it names one.
_STATEMENT = re.compile(
    r"""^[ \t]*(?:import|export)\b(?![(:])(?:[^"';]*?["'](\.{1,2}/[^"']+)["'])?.*$""", re.MULTILINE
)


class UnsupportedModule(Exception):
    """A module cannot be joined: its imports or exports, or a circle of modules."""


def join_modules(sources: Mapping[str, str], entry: str) -> dict[str, str]:
    """Return the modules to serve, by path, instead of *sources*.

    *entry* and all modules that it imports, directly or indirectly, are joined as JOINED_SCRIPT.

    Raises:
        UnsupportedModule: the syntax of an import or export is not supported.
    """
    order = _sort_by_imports(sources, entry)
    joined = frozenset(order)
    parts = [_wrap_module(name, sources[name], joined) for name in order]
    others = {
        name: _replace_imports(name, text, joined)
        for name, text in sources.items()
        if name not in joined
    }
    return {JOINED_SCRIPT: "\n".join(["export const modules = {};", *parts, ""]), **others}


def _sort_by_imports(sources: Mapping[str, str], entry: str) -> list[str]:
    """Return *entry* and what it imports, each module behind those that it imports."""
    order: list[str] = []

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in order:
            return
        if name in path or name not in sources:
            raise UnsupportedModule(f"circle or missing file: {' → '.join((*path, name))}")
        for match in _IMPORT.finditer(sources[name]):
            visit(_resolve(name, match[4]), (*path, name))
        order.append(name)

    visit(entry, ())
    return order


def _wrap_module(name: str, source: str, joined: Set[str]) -> str:
    """Return the statement that runs the module *name* and keeps its exports."""
    exports = [*_EXPORT.findall(source)]
    for names in _EXPORT_LIST.findall(source):
        exports += [exported.strip() for exported in names.split(",")]
    text = _EXPORT_LIST.sub("", _EXPORT.sub("", _replace_imports(name, source, joined)))
    text, defaults = _EXPORT_DEFAULT.subn("const defaultExport = ", text)
    exports += ["default: defaultExport"] * defaults
    statement = _STATEMENT.search(text)
    if statement:
        raise UnsupportedModule(f"{name}: {statement[0]}")
    # Addresses are relative to the joined file.
    text = _DYNAMIC_IMPORT.sub(lambda match: _move_import(name, match), text)
    text = text.replace("import.meta.url", f'new URL("./{name}", import.meta.url).href')
    returned = f"return {{ {', '.join(exports)} }};"
    return f'modules["{name}"] = (() => {{\n{text}\n{returned}\n}})();'


def _replace_imports(name: str, source: str, joined: Set[str]) -> str:
    """Return *source* with constants in place of its imports of *joined* modules."""

    def replace(match: re.Match[str]) -> str:
        target = _resolve(name, match[4])
        if target not in joined:
            return match[0]
        if match[3]:
            names = f"{{ default: {match[3]} }}"
        else:
            names = match[2] or f"{{{match[1].replace(' as ', ': ')}}}"
        return f'const {names} = modules["{target}"];'

    text = _IMPORT.sub(replace, source)
    for statement in (*_STATEMENT.finditer(text), *_DYNAMIC_IMPORT_OF_FILE.finditer(text)):
        if statement[1] and _resolve(name, statement[1]) in joined:
            raise UnsupportedModule(f"{name}: {statement[0]}")
    if text == source or name in joined:
        return text
    # On the first line, so that lines keep their numbers.
    return f'import {{ modules }} from "{_relative(name, JOINED_SCRIPT)}"; {text}'


def _move_import(name: str, match: re.Match[str]) -> str:
    """Return a dynamic import of the module *name* with an address relative to the joined file."""
    is_folder = match[2].endswith("/")
    return f"import({match[1]}./{_resolve(name, match[2])}{'/' * is_folder}"


def _resolve(name: str, target: str) -> str:
    """Return the path of *target*, which is relative to the module *name*."""
    return normpath(f"{dirname(name)}/{target}").lstrip("/")


def _relative(name: str, target: str) -> str:
    path = relpath(target, dirname(name) or ".")
    return path if path.startswith(".") else f"./{path}"
