"""Every text exists in every language, and every key that the console uses exists."""

import re
from pathlib import Path

import pytest

from backend.services.console.app import STATIC_FOLDER

LOCALES = STATIC_FOLDER / "locale"
SECTIONS = sorted(file.stem.removeprefix("en") for file in LOCALES.glob("en*.js"))
LANGUAGES = sorted({file.stem.split("_")[0] for file in LOCALES.glob("*.js")} - {"en"})
_KEY = re.compile(r'^  (?:"([^"]+)"|([A-Za-z_]\w*)):', re.MULTILINE)
# t("key"), { title: "key" } of a screen, and keys in lists are literals; built keys have a prefix.
_USE = re.compile(r"""\b(?:t|hasText)\("([^"]+)\"""")
_BUILT_USE = re.compile(r"\b(?:t|hasText)\(`([^`$]*)\$\{")
_BUILT_KEY = re.compile(r"const key = [^;`]*`([^`$]*)\$\{")


def read_keys(name: str) -> list[str]:
    source = (LOCALES / f"{name}.js").read_text()
    return [quoted or plain for quoted, plain in _KEY.findall(source)]


def all_keys() -> set[str]:
    return {key for section in SECTIONS for key in read_keys(f"en{section}")}


def list_prefixes(source: str) -> list[str]:
    """Return the fixed beginnings of keys that *source* completes with a value."""
    built = _BUILT_KEY.findall(source) if re.search(r"\b(?:t|hasText)\(key\b", source) else []
    return [*_BUILT_USE.findall(source), *built]


def list_scripts() -> list[Path]:
    return [file for file in STATIC_FOLDER.rglob("*.js") if file.parent != LOCALES]


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_language_has_exactly_the_texts_of_english(language: str, section: str) -> None:
    assert read_keys(f"{language}{section}") == read_keys(f"en{section}")


@pytest.mark.parametrize("section", SECTIONS)
def test_key_is_defined_once_in_its_section(section: str) -> None:
    keys = read_keys(f"en{section}")
    assert sorted(set(keys)) == sorted(keys)


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_function_takes_the_same_values_in_every_language(language: str, section: str) -> None:
    pattern = re.compile(r'^  (?:"[^"]+"|\w+): \(([^)]*)\) =>', re.MULTILINE)

    def count_values(name: str) -> list[int]:
        source = (LOCALES / f"{name}.js").read_text()
        return [len(values.split(",")) for values in pattern.findall(source)]

    assert count_values(f"{language}{section}") == count_values(f"en{section}")


def test_every_used_key_exists() -> None:
    known = all_keys()
    missing = {
        (file.name, key)
        for file in list_scripts()
        for key in _USE.findall(file.read_text())
        if key not in known
    }
    assert missing == set()


def test_every_prefix_of_a_built_key_exists() -> None:
    known = all_keys()
    missing = {
        (file.name, prefix)
        for file in list_scripts()
        for prefix in list_prefixes(file.read_text())
        if prefix and not any(key.startswith(prefix) for key in known)
    }
    assert missing == set()


def test_no_text_is_without_use() -> None:
    scripts = "\n".join(file.read_text() for file in list_scripts())
    prefixes = list_prefixes(scripts)
    words = set(re.findall(r"[\"'`]([A-Za-z_]\w*)[\"'`]", scripts))
    unused = {
        key
        for key in all_keys()
        if key not in words and not any(prefix and key.startswith(prefix) for prefix in prefixes)
    }
    assert unused == set()
