"""Find the terms of a question that name its subject, without function words.

Articles, prepositions, pronouns, auxiliary verbs and question words occur in all texts, or in none
of the texts that answer the question. English ones are stop words of `extract_terms`. Those of
other languages are looked up in the language of the question only, because they may be other words
elsewhere: German "die".
"""

# ruff: noqa: RUF001 - non-Latin letters are intended
import re
from typing import Final

from backend.ai.text.terms import (
    STOP_WORDS,
    extract_terms,
    extract_words,
    get_word_terms,
    is_unspaced,
    split_words,
)

_WORDS: Final = {
    "de": "der die das den dem des ein eine einen einem einer eines kein keine in im an am auf aus"
    " bei beim bis durch für gegen mit nach ohne seit über um unter von vom vor während wegen zu"
    " zum zur zwischen und oder auch es er sie ich wir man mein meine dein ihr ihre unser unsere"
    " ist sind war waren wird werden wurde hat haben hatte kann können darf muss soll"
    " wer wem wen wessen was wie wo wann warum wieso wohin woher wieviel viel viele welche welcher"
    " welches welchen welchem gibt bekommt lautet heißt hoch nummer",
    "fr": "le la les l un une des du de d au aux à en dans par pour sur sous avec sans chez entre"
    " vers depuis et ou il elle on ils elles je nous vous ce cet cette ces mon ma mes son sa ses"
    " notre votre leur est sont était a ont avait peut doit fait y qu que qui quoi quel quelle"
    " quels quelles combien quand où comment pourquoi numéro",
    "es": "el la los las un una unos unas de del al a en por para con sin sobre entre desde hasta y"
    " o se lo su sus mi mis nuestro nuestra este esta es son era está están hay ha han tiene puede"
    " debe quién quiénes qué cuál cuáles cuándo dónde cómo cuánto cuánta cuántos cuántas número",
    "it": "il lo la i gli le l un uno una di del dello della dei degli delle a al allo alla ai agli"
    " alle da dal dalla in nel nella nei nelle su sul sulla con per tra fra e o si mio mia suo sua"
    " questo questa è sono era ha hanno può deve chi che cosa quale quali qual quando dove come"
    " quanto quanta quanti quante cos dov perché numero",
    "pt": "o a os as um uma uns umas de do da dos das em no na nos nas por pelo pela para com sem"
    " sobre entre até e ou se seu sua meu minha este esta é são era está há tem têm pode deve quem"
    " que qual quais quando onde como quanto quanta quantos quantas número",
    "nl": "de het een van in op aan bij met voor naar uit over door om tot en of er hij zij we ik"
    " mijn uw zijn haar is was waren wordt worden heeft hebben kan mag moet wie wat waar wanneer"
    " hoe hoeveel veel welk welke waarom nummer",
    "ru": "в во на с со к ко о об от до из у за по для при без под над и или а не же ли это этот"
    " эта он она они мы вы я мой наш ваш есть был была было были будет кто что какой какая какое"
    " какие каков какова где когда куда откуда почему как сколько чей номер",
}
_PATTERNS: Final = (
    # Chinese, for text without kana.
    re.compile(
        r"叫什么名字|叫什么|为什么|為什麼|什么时候|什麼時候|什么|什麼|是多少|多少钱|多少|多长时间|多长|多長|多久|多[高大远重深宽快]"
        r"|怎么|怎麼|怎样|如何|请问|請問|哪里|哪裡|哪儿|哪个|哪個|哪一?[个间家天年月日些]|[号號][码碼]|何时|为何|是否"
        r"|名字|[几幾][个個点點本台层樓楼人次天年月]|每[个個]?[月年天周日]|[这那每一][个個次]|可以|能够|不能|能不能|需要|必须"
        r"|有没有|时间|[的是吗嗎呢谁誰哪几幾用能要了在有会會该該被把和与與或及]"
    ),
    # Japanese. A particle follows or precedes a kanji or katakana character.
    re.compile(
        r"(?:です|ます|でしょう)か?|いくら|いくつ|いつ|どこ|だれ|どの|どれ|どう|ですか|ください|教えて|番号"
        r"|[何誰]|(?<=[\u30a0-\u30ff\u3400-\u9fff])[はがをのにでともへ]"
        r"|[はがをのにでともへ](?=[\u30a0-\u30ff\u3400-\u9fff])"
    ),
    # Thai.
    re.compile(
        r"ที่ไหน|นานแค่ไหน|แค่ไหน|ไหน|เท่าไร|เท่าไหร่|เมื่อไร|เมื่อไหร่|อะไร|ใคร|อย่างไร|ยังไง|กี่โมง|กี่|ทำไม|นานแค่ไหน|แค่ไหน|หรือไม่"
        r"|ได้ไหม|ไหม|ของ|สำหรับ|คือ|อยู่|เป็น|ต้อง|แล้ว|ล่ะ"
    ),
)
# Question words only. The other phrases above occur in names and compounds too.
_QUESTION_PATTERNS: Final = (
    re.compile(
        r"为什么|為什麼|什么时候|什麼時候|什么|什麼|是多少|多少|多长|多長|多久|怎么|怎麼|怎样|如何|请问"
        r"|請問|哪里|哪裡|哪儿|哪个|哪個|哪一[个间家天]|[号號][码碼]|[的是吗嗎呢谁誰哪几幾]"
    ),
    _PATTERNS[1],
    re.compile(r"ที่ไหน|เท่าไร|เท่าไหร่|เมื่อไร|เมื่อไหร่|อะไร|ใคร|อย่างไร|กี่"),
)
# Weight of the terms of a phrase in a script without spaces, all together.
_PHRASE_WEIGHT: Final = 1.5
_ADDED_WEIGHT: Final = 0.5
_HAS_KANA = re.compile(r"[\u3041-\u30ff]")
_LETTERS = re.compile(r"[^\W\d_]+")
_FOLDED_WORDS: Final = {
    language: frozenset(extract_words(words)) for language, words in _WORDS.items()
}
_TERMS: Final = {language: frozenset(extract_terms(words)) for language, words in _WORDS.items()}


def extract_subject_terms(question: str, language: str = "") -> frozenset[str]:
    """Return the terms of *question* without articles, prepositions and other function words.

    A question that consists of such words only has no subject terms.

    Args:
        language: the language of *question* and of the terms. If it is unknown, the function words
            show it.
    """
    return frozenset(weigh_subject_terms(question, language))


def weigh_subject_terms(question: str, language: str = "") -> dict[str, float]:
    """Return the subject terms of *question* with their weights.

    In scripts without spaces, a phrase between function words has many terms; together they weigh
    little more than a word. Words in parentheses at the end were added from an earlier question by
    `rewrite_follow_up` and weigh half.
    """
    own_part, _, added_part = question.partition(" (")
    weights = _weigh_terms(added_part, language, _ADDED_WEIGHT) if added_part else {}
    return weights | _weigh_terms(own_part, language, 1.0)


def _weigh_terms(question: str, language: str, weight: float) -> dict[str, float]:
    text = remove_function_phrases(question)
    function_terms = _find_function_terms(question) if language in ("", "en") else frozenset()
    weights: dict[str, float] = {}
    for word in split_words(text):
        terms = get_word_terms(word, language)
        if is_unspaced(word) and len(word) > 1:
            # Single ideographs are part of the pairs.
            terms = tuple(term for term in terms if len(term) > 1)
        share = min(1.0, _PHRASE_WEIGHT / len(terms)) if terms and is_unspaced(word) else 1.0
        weights |= {term: weight * share for term in terms if term not in function_terms}
    return weights


def remove_function_phrases(question: str) -> str:
    """Return *question* without its function words in Chinese, Japanese or Thai.

    In these languages, they are not separated from the other words.
    """
    return _remove(question, _PATTERNS)


def remove_question_phrases(question: str) -> str:
    """Return *question* without the words that make it a question in Chinese, Japanese or Thai."""
    return _remove(question, _QUESTION_PATTERNS)


def _remove(question: str, patterns: tuple[re.Pattern[str], ...]) -> str:
    if question.isascii():
        return question
    chinese, japanese, thai = patterns
    pattern = japanese if _HAS_KANA.search(question) else chinese
    return thai.sub(" ", pattern.sub(" ", question))


def _find_function_terms(question: str) -> frozenset[str]:
    """Return the function words of the language of *question*, or none if it may be English.

    Its language is the one with the most function words; languages that have the same number of
    them are not distinguished.
    """
    folded = extract_words(question)
    counts = {
        language: sum(word in words for word in folded) for language, words in _FOLDED_WORDS.items()
    }
    stop_words = [word for word in _LETTERS.findall(question.lower()) if word in STOP_WORDS]
    for language, words in _WORDS.items():
        counts[language] += sum(word in words.split() for word in stop_words)
    highest = max(counts.values())
    if highest <= len(stop_words):
        return frozenset()
    return frozenset().union(
        *(_TERMS[language] for language, count in counts.items() if count == highest)
    )
