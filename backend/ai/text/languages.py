"""Detect the language of a text from its script, function words, letters and word endings.

A downloaded model is not needed. On short questions the rules are as accurate as fastText's
language identification (see tests/ai/text/test_languages.py), take no memory worth mentioning, and
have no answer for a text of names only, where a model guesses.
"""

# ruff: noqa: RUF001 - non-Latin letters are intended
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from math import log
from typing import Final

from backend.ai.text.language_words import FUNCTION_WORDS

# Characters of the text that are read. Longer texts have parts in the same language.
_MAX_CHARS: Final = 600
# Texts whose language is cached: a question is analyzed by several components.
_MAX_CACHED_TEXTS: Final = 256
# Non-Latin texts contain Latin names and numbers, the opposite is rare. An ideograph or kana stands
# for about three letters.
_NON_LATIN_WEIGHT: Final = 3
_IDEOGRAPH_WEIGHT: Final = 5
# Minimum share of kana in a Japanese text.
_MIN_KANA_SHARE: Final = 0.05
_SCRIPTS: Final = {
    "latin": r"A-Za-z\u00aa\u00ba\u00c0-\u024f\u1e00-\u1eff",
    "cyrillic": r"\u0400-\u052f",
    "greek": r"\u0370-\u03ff\u1f00-\u1fff",
    "arabic": r"\u0620-\u064a\u066e-\u06d3\u06fa-\u06ff",
    "devanagari": r"\u0900-\u0963\u0970-\u097f",
    "han": r"\u3400-\u9fff\uf900-\ufaff",
    "kana": r"\u3041-\u3096\u30a1-\u30fa",
    "hangul": r"\u1100-\u11ff\uac00-\ud7a3",
    "th": r"\u0e01-\u0e4e",
    "he": r"\u05d0-\u05ea",
    "lo": r"\u0e81-\u0edf",
    "my": r"\u1000-\u109f",
    "km": r"\u1780-\u17d3",
    "ka": r"\u10a0-\u10ff",
    "hy": r"\u0531-\u0587",
    "am": r"\u1200-\u135a",
    "bn": r"\u0980-\u09e3",
    "pa": r"\u0a00-\u0a7f",
    "gu": r"\u0a80-\u0aff",
    "or": r"\u0b00-\u0b7f",
    "ta": r"\u0b80-\u0bff",
    "te": r"\u0c00-\u0c7f",
    "kn": r"\u0c80-\u0cff",
    "ml": r"\u0d00-\u0d7f",
    "si": r"\u0d80-\u0dff",
    "bo": r"\u0f00-\u0fff",
}
_RUNS: Final = re.compile("|".join(f"(?P<{name}>[{chars}]+)" for name, chars in _SCRIPTS.items()))
_ASCII_WORD: Final = re.compile("[a-z]+")
_CANDIDATES: Final = {
    "latin": (
        *("en", "de", "es", "fr", "it", "pt", "nl", "ro", "tr"),
        *("vi", "sv", "da", "no", "pl", "cs", "hu", "fi", "id"),
    ),
    "cyrillic": ("ru", "uk", "bg", "sr"),
    "arabic": ("ar", "fa", "ur"),
    "devanagari": ("hi", "mr", "ne"),
    "greek": ("el",),
}
# The language of a script if neither words nor letters decide.
_DEFAULTS: Final = {"cyrillic": "ru", "arabic": "ar", "devanagari": "hi", "greek": "el"}
_DEFAULT_BONUS: Final = 0.8
# Letters beyond a-z of each language. In scripts other than Latin: letters of that language only.
_LETTERS: Final = {
    "en": "",
    "de": "äöüß",
    "es": "áéíóúüñ",
    "fr": "àâæçéèêëîïôœùûüÿ",
    "it": "àèéìíîòóù",
    "pt": "ãáàâçéêíóôõú",
    "nl": "éëïöüèóá",
    "ro": "ăâîșțşţ",
    "tr": "çğıöşüâîû",
    "vi": "àáảãạăằắẳẵặâầấẩẫậđèéẻẽẹêềếểễệìíỉĩịòóỏõọôồốổỗộơờớởỡợùúủũụưừứửữựỳýỷỹỵ",
    "sv": "åäöé",
    "da": "æøåé",
    "no": "æøåéòôó",
    "pl": "ąćęłńóśźż",
    "cs": "áčďéěíňóřšťúůýž",
    "hu": "áéíóöőúüű",
    "fi": "äöå",
    "id": "",
    "ru": "ыэёъ",
    "uk": "іїєґ",
    "bg": "ъ",
    "sr": "јљњћђџ",
    "fa": "پچژگکی",
    "ur": "ٹڈڑںےہھکگی",
    "mr": "ळ",
}
# Frequent endings of the words of a language.
_ENDINGS: Final = {
    "en": "tion tions ness ment ments ing ings ight ful ough ould ity ies ous ship ward ble ence"
    " ance ers ly ed ck sh th ee ow ew ay oy y ic ics ive ives al als ine ines ure ism ists ts ns"
    " rs ds ks sis ist",
    "de": "ung ungs ungen keit heit lich liche lichen licher isch ische ischen schaft tät ieren"
    " iert stelle zeit haus plan frist nis chen tag zahl geld eiten rei stunden eren tes ete gen"
    " den ten nen sen tage zeiten menge stellt",
    "es": "ción ciones sión dad dades miento mientos ado ada ados adas ido ida idos idas os as ero"
    " era ario aria able ible mente ar ir or aje illo illa anza uo",
    "fr": "tion ement ment eau eaux eur eurs euse ique iques age ais ait aient ée ées és oir ie"
    " ité ités ez er ère elle ette ance ence ois aux eux ques isse",
    "it": "zione zioni mento menti ità etto etta ato ata ati ate ivo iva ezza aggio aio oni issimo"
    " ere are ire ale ali ico ica iche ini ino ello ella tto tta sta",
    "pt": "ção ções são ões dade dades mento mentos ado ada ados adas eiro eira agem agens vel"
    " veis inho em ar ais",
    "nl": "heid lijk lijke ing ingen aar isch sche tie ties tje atie eren schap dag ijd sel",
    "ro": "ul ului ilor elor lui ea ești ește esc are ire at ată ate ați ție ții ției iune iunea"
    " iei ment oare or ii tor toare ă ței rea urile ile ele rii ism ist bil ează ce",
    "tr": "lar ler ları leri ların lerin dır dir dur dür tır tir mak mek ması mesi iyor ıyor lık"
    " lik luk lük ında inde dan den tan ten cı ci acak ecek nın nin sı si dı di mış miş ım iz ğı"
    " ği üyor uyor cak cek arak erek ini ını eri eyi eli tin tın",
    "vi": "ng nh",
    "sv": "ning ningen het arna erna orna ande ende ade ades lig liga ligt skt ska",
    "da": "ning ningen hed heden erne ende ede lig lige ligt ske elsen",
    "no": "ning ningen het heten ene ende lig lige ske sjon sjonen",
    "pl": "ość ości anie enie ania enia owy owa owe owych ego ych ich ami ach cie cja cji ować ski"
    " ska skie skiego ów ek nik ny ej ją",
    "cs": "ost osti ání ení ový ová ové ého ých ích ami ách ství ský ská ské ního nost ují ovat ů"
    " ější ně ka",
    "hu": "ság ség ban ben nak nek val vel ból ből tól től hoz hez ról ről ért ok ek ak unk ünk"
    " ani eni ás és ott ett ötte ja je atal ík nál nél ra re",
    "fi": "ssa ssä sta stä lla llä lta ltä lle nen set sen inen isen ista uus yys minen mme vat"
    " vät tään taan een iin ja jä tta ttä sti us ys ksi",
    "id": "kan nya an ang asi",
    "ru": "ость ости ение ения ание ания ться ется ого его ому ыми ими ых ая яя ое ые ый ой ует"
    " ция ции ский ская ов ами ах",
    "uk": "ість ості ння ться ого ому ими их ий ої ція ції ський ська ів ями ах",
    "bg": "та то ят ът ите ция ване ние ост ски ска ият",
    "sr": "ост ање ење ски ска ања има ама ти шњи",
}
# Patterns of other sequences of letters that are frequent in a language.
_SEQUENCES: Final = {
    "en": r"^(?:th|wh|kn|wr|sh)|ough|oo|'s",
    "de": r"sch|tz|pf|äu|eun|ieb|ungs|^(?:ge|ver|zer|auf|aus)...|ckt|cht",
    "es": r"ll|rr|gue",
    "fr": r"eau|oi|ou|^qu|^j'|^l'",
    "it": r"gli|cch|zz|gh|cci",
    "pt": r"nh|lh|ão|ç",
    "nl": r"ij|aa|oe|uu|ee|sch|oo|^ge|eeuw|cht",
    "ro": r"oa",
    "tr": r"ı|ğ|^ş",
    "vi": r"^(?:ng|nh|tr|th|ph|kh|gi|qu|ch)[^\W\d_]{1,3}$",
    "sv": r"sj|skj",
    "da": r"øj|æ|ø",
    "no": r"øy|ø",
    "pl": r"sz|cz|rz|dz|prz",
    "cs": r"ř|ě|ů",
    "hu": r"gy|ny|sz|zs|cs|ő|ű",
    "fi": r"aa|ää|yy|kk|uo|yö",
    "id": r"^(?:ber|ter|men|mem|meng|peng|pem|per|ke|di)...",
    "ru": r"щ",
}
# Weight of a function word without its accents.
_FOLDED_SHARE: Final = 0.4
_LETTER_SCORE: Final = 0.5
_FOREIGN_LETTER_SCORE: Final = -1.0
_PATTERN_SCORE: Final = 0.45
# Added to the evidence for English: other languages have letters and function words that English
# text does not contain.
_ENGLISH_BONUS: Final = 0.25
# Evidence that a text must have for a Latin language, and its minimum lead over others. With a
# smaller lead, the language with more speakers is chosen, which is listed first.
_MIN_SCORE: Final = 0.7
_MIN_LEAD: Final = 0.12
# If the function words alone have this score and lead, the other words are not read: a paragraph is
# decided in a tenth of the time.
_CLEAR_SCORE: Final = 4.0
_CLEAR_LEAD: Final = 0.3


def detect_language(text: str) -> str:
    """Return the ISO 639-1 code of the language of *text*, or "" if it is unknown.

    The first 600 characters decide. A text without words, or of names only, has no language.
    """
    return _detect(text[:_MAX_CHARS])


@lru_cache(maxsize=_MAX_CACHED_TEXTS)
def _detect(text: str) -> str:
    runs = _collect_runs(unicodedata.normalize("NFC", text).lower())
    if not runs:
        return ""
    weights = {script: sum(map(len, words)) for script, words in runs.items()}
    for script in weights:
        if script in ("han", "kana"):
            weights[script] *= _IDEOGRAPH_WEIGHT
        elif script != "latin":
            weights[script] *= _NON_LATIN_WEIGHT
    # Japanese text consists of both.
    is_japanese = weights.get("kana", 0) > _MIN_KANA_SHARE * weights.get("han", 0)
    cjk = weights.pop("kana", 0) + weights.pop("han", 0)
    script = max(weights, key=weights.__getitem__, default="")
    if cjk > weights.get(script, 0):
        return "ja" if is_japanese else "zh"
    if script == "latin":
        return _choose_latin_language(list(dict.fromkeys(runs["latin"])))
    if script == "hangul":
        return "ko"
    if script in _DEFAULTS:
        return _choose_language(runs[script], script)
    return script


def _collect_runs(text: str) -> Mapping[str, Sequence[str]]:
    """Return the words of *text* by script."""
    if text.isascii():
        return {"latin": words} if (words := _ASCII_WORD.findall(text)) else {}
    runs: dict[str, list[str]] = defaultdict(list)
    for match in _RUNS.finditer(text):
        runs[match.lastgroup or ""].append(match.group())
    return runs


def _choose_latin_language(words: Sequence[str]) -> str:
    function_scores = _score_function_words(words)
    best, second = sorted(function_scores.values(), reverse=True)[:2]
    if best >= _CLEAR_SCORE and best - second >= _CLEAR_LEAD * best:
        return max(function_scores, key=function_scores.__getitem__)
    scores = _score_languages(words, "latin")
    scores["en"] += _ENGLISH_BONUS if scores["en"] > 0 else 0.0
    best = max(scores.values())
    if best < _MIN_SCORE:
        return ""
    close = [name for name, score in scores.items() if score > (1 - _MIN_LEAD) * best]
    # Related languages share words: "Was kostet der Eintritt?" is as probable in Dutch. English is
    # not guessed, because its documents and questions are treated in another way.
    return "" if "en" in close and len(close) > 1 else close[0]


def _choose_language(words: Iterable[str], script: str) -> str:
    scores = _score_languages(words, script)
    scores[_DEFAULTS[script]] += _DEFAULT_BONUS
    best = max(scores, key=scores.__getitem__)
    return best if scores[best] > scores[_DEFAULTS[script]] else _DEFAULTS[script]


def _score_languages(words: Iterable[str], script: str) -> dict[str, float]:
    candidates = _CANDIDATES[script]
    scores = dict.fromkeys(candidates, 0.0)
    for word in words:
        for language, score in _score_word(word, script):
            scores[language] += score
    return scores


def _score_function_words(words: Iterable[str]) -> dict[str, float]:
    scores = dict.fromkeys(_CANDIDATES["latin"], 0.0)
    word_scores = _WORD_SCORES["latin"]
    for word in words:
        for language, score in word_scores.get(word, ()):
            scores[language] += score
    return scores


@lru_cache(maxsize=20_000)
def _score_word(word: str, script: str) -> Sequence[tuple[str, float]]:
    """Return the evidence of *word* for languages of its script, where it is not zero."""
    scores: dict[str, float] = defaultdict(float)
    for language, score in _WORD_SCORES[script].get(word, ()):
        scores[language] += score
    letters = {char for char in word if char > "z"}
    for language in _CANDIDATES[script]:
        own = letters.intersection(_LETTERS.get(language, ""))
        if own:
            scores[language] += _LETTER_SCORE
        if script == "latin" and letters - own:
            scores[language] += _FOREIGN_LETTER_SCORE
        if len(word) > 3 and language in _PATTERNS and _PATTERNS[language].search(word):
            scores[language] += _PATTERN_SCORE
    return tuple(scores.items())


def _fold(word: str) -> str:
    decomposed = unicodedata.normalize("NFD", word.replace("ı", "i").replace("đ", "d"))
    return "".join(char for char in decomposed if not unicodedata.combining(char))


def _build_word_scores() -> Mapping[str, Mapping[str, Sequence[tuple[str, float]]]]:
    """Return the scores of function words by script: the fewer languages have it, the higher.

    Questions are often typed without accents, so that form counts too, but less.
    """
    by_script: dict[str, dict[str, dict[str, float]]] = {}
    for script, candidates in _CANDIDATES.items():
        by_word = by_script[script] = defaultdict(dict)
        for language in candidates:
            for word in FUNCTION_WORDS[language].split():
                by_word[word][language] = 1.0
                if script == "latin" and (folded := _fold(word)) != word and len(folded) > 2:
                    by_word[folded].setdefault(language, _FOLDED_SHARE)
    return {
        script: {
            word: tuple(
                (language, share * (0.3 + log(len(_CANDIDATES[script]) / len(shares)) / 2))
                for language, share in shares.items()
            )
            for word, shares in by_word.items()
        }
        for script, by_word in by_script.items()
    }


def _compile_pattern(language: str) -> re.Pattern[str]:
    endings = f"(?:{'|'.join(_ENDINGS[language].split())})$" if language in _ENDINGS else ""
    return re.compile("|".join(filter(None, (endings, _SEQUENCES.get(language)))))


_PATTERNS: Final = {
    language: _compile_pattern(language) for language in _ENDINGS.keys() | _SEQUENCES.keys()
}
_WORD_SCORES: Final = _build_word_scores()
