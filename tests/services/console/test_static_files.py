"""Rules for the files of the interface that need no browser: layers, sizes, budget."""

import gzip
import re
from pathlib import Path

import pytest

import backend.services.console
from backend.services.console.domain.assets import Assets

STATIC = Path(backend.services.console.__file__).parent / "static"
MODULES = sorted(STATIC.rglob("*.js"))
MAX_LINES = 250
FIRST_LOAD_BYTES = 60_000
# Layers that a module of each folder may import.
LAYERS = {
    "lib": {"lib"},
    "model": {"model", "lib"},
    "ui": {"ui", "lib", "model"},
    "pages": {"pages", "ui", "model", "lib"},
    "locale": {"lib"},
}
_IMPORT = re.compile(r"""(?:from|import|import\()\s*["'](\.[^"']+)["']""")
_NAMES = re.compile(r'import\s*\{([^}]*)\}\s*from\s*"([^"]+)"')
# Ways to create elements from text, and styles that the content security policy refuses.
_UNSAFE = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc"
    r"|setAttribute\(\s*[\"']style"
)


def _name(module: Path) -> str:
    return module.relative_to(STATIC).as_posix()


@pytest.mark.parametrize("module", MODULES, ids=_name)
def test_module_imports_existing_files_of_allowed_layers(module: Path) -> None:
    layer = module.relative_to(STATIC).parts[0]
    for target in _IMPORT.findall(module.read_text()):
        file = (module.parent / target).resolve()
        assert file.exists(), target
        if layer in LAYERS:
            assert file.relative_to(STATIC).parts[0] in LAYERS[layer], target


@pytest.mark.parametrize("module", MODULES, ids=_name)
def test_module_imports_exported_names(module: Path) -> None:
    for names, target in _NAMES.findall(module.read_text()):
        exported = (module.parent / target).resolve().read_text()
        for name in (part.strip().split(" as ")[0] for part in names.split(",") if part.strip()):
            declaration = (
                rf"export\s+(?:async\s+)?(?:const|let|class|function)\*?\s+{re.escape(name)}\b"
                rf"|export\s*\{{[^}}]*\b{re.escape(name)}\b"
            )
            assert re.search(declaration, exported), f"{target} does not export {name}"


@pytest.mark.parametrize("module", MODULES, ids=_name)
def test_module_is_short_and_creates_no_html(module: Path) -> None:
    text = module.read_text()
    assert _UNSAFE.search(text) is None
    if "locale" not in module.parts:
        assert len(text.splitlines()) <= MAX_LINES


def test_first_load_is_within_its_budget() -> None:
    assets = Assets.load(STATIC, "/console")
    page = assets.root_files["index.html"].content
    names = set(re.findall(r'/console/assets/[0-9a-f]+/([^"]+)', page.decode()))
    files = [assets.files[name] for name in names]
    size = sum(len(file.compressed or file.content) for file in files)
    assert size + len(gzip.compress(page)) <= FIRST_LOAD_BYTES


def test_no_script_of_others_is_stored() -> None:
    licences = re.compile(r"@license|\bMIT License\b|sourceMappingURL|\bwebpack\b", re.IGNORECASE)
    assert [_name(module) for module in MODULES if licences.search(module.read_text())] == []
