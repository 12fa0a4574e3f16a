"""Every text exists in every language, and every key that the console uses exists."""

import re
from pathlib import Path

import pytest

import backend
from backend.services.console.app import STATIC_FOLDER

BACKEND = Path(backend.__file__).parent
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


# Errors that only programs, providers and other services receive.
_NOT_SHOWN = {
    *("asset_not_found", "bad_target", "body_too_large", "draining", "invalid_api_key"),
    *("invalid_clerk_token", "invalid_handshake", "invalid_id_token", "invalid_last_event_id"),
    *(
        "invalid_position",
        "invalid_refresh_token",
        "invalid_signature",
        "invalid_ticket",
        "invalid_topics",
    ),
    *("origin_not_allowed", "other_origin", "refresh_reused", "totp_required", "unknown_topic"),
    *("upgrade_required", "visitor_token_rejected"),
    # Their texts name the time until the next attempt.
    *(
        "daily_tokens_used",
        "rate_limited",
        "too_many_attempts",
        "too_many_sockets",
        "too_many_tours",
    ),
}


def test_errors_of_the_api_have_german_texts() -> None:
    files = [*BACKEND.glob("services/*/errors.py"), *BACKEND.glob("chassis/web/*.py")]
    pattern = re.compile(r'^    code = "([a-z_]+)"', re.MULTILINE)
    codes = {code for file in files for code in pattern.findall(file.read_text())}
    assert codes - _NOT_SHOWN - read_api_keys("problems") == set()


def test_limits_have_german_texts() -> None:
    report = (BACKEND / "services" / "admin" / "domain" / "settings_report.py").read_text()
    names = re.findall(r'^    "([A-Z_]+)": "', report, re.MULTILINE)
    assert read_api_keys("limits") == set(names)


def read_api_keys(group: str) -> set[str]:
    source = (LOCALES / "de_api.js").read_text()
    (body,) = re.findall(rf"^const {group} = {{$(.*?)^}};$", source, re.MULTILINE | re.DOTALL)
    return {plain for _, plain in _KEY.findall(body)}
