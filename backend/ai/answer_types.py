"""Kinds of answers that questions ask for: numbers and names of persons."""

import re

_ASKS_FOR_NUMBER = re.compile(
    r"\bhow (many|much|long|old|far|tall|high|often|large|big|deep|wide|fast|cold|hot|heavy)\b"
    r"|\bwhen\b|\bwhat (year|percentage|percent|number|date|day|month|time|price)\b"
    r"|\bin (which|what) year\b|\bwie (viel|lang|hoch|oft|alt|weit)|\bwann\b|\bcombien\b|\bquand\b"
    r"|\bcu[áa]nd?t?[oa]s?\b|\bquant[oaie]\b|\bсколько\b|\bкогда\b"  # noqa: RUF001 - Russian
    r"|多少|几|何[時日年人円個]|いつ|いくつ|いくら|몇|언제|얼마",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    r"\d|\b(one|two|three|four|five|six|seven|eight|nine|ten|dozen|hundred|thousand|million"
    r"|billion|half|third|first|second|once|twice|noon|midnight"
    r"|zwei|drei|vier|fünf|sechs|sieben|acht|neun|zehn|elf|zwölf|dreißig|hundert|tausend"
    r"|deux|trois|quatre|cinq|sept|huit|neuf|dix|onze|douze|quinze|vingt|trente|cent|mille"
    r"|dos|tres|cuatro|cinco|seis|siete|ocho|nueve|diez|doce|veinte|treinta|cien|mil"
    r"|due|tre|quattro|cinque|sei|sette|otto|nove|dieci|dodici|venti|trenta|cento"
    r"|дв[ае]|двух|тр[её]х|три|четыре|пять|шесть|семь|восемь|девять|десять|двадцать|тридцать)\b"  # noqa: RUF001 - Russian
    r"|[一二两兩三四五六七八九十百千万半]",
    re.IGNORECASE,
)
_ASKS_FOR_PERSON = re.compile(r"\b(who|whom|whose|wer|wem|wen|qui)\b", re.IGNORECASE)
# A name is a capitalised word that does not belong to a date, such as the month in "3 May 1848".
_NAME = re.compile(r"(?<!\d )(?<!\d\. )\b[^\W\d_a-z][^\W\d_]+\b(?! \d)")
# "According to my documents, who …": such a phrase names the sources and is not part of the
# question.
_SOURCE_PHRASE = re.compile(
    r"^\W*(?:"
    r"(?:according to|based on|in|from|per|what do) (?:my|our|the|these|this|your)"
    r" (?:\w+ )?(?:documents?|docs|files?|library|records|texts?|sources?)(?: say about)?"
    r"|(?:laut|nach|gemäß|in) (?:meinen|den|unseren|diesen|deinen|dem|diesem)"
    r" (?:\w+ )?(?:dokumente?n?|unterlagen|dateien|texte?n?)(?: zufolge)?"
    r"|(?:selon|d'après|dans) (?:mes|les|nos|ces|vos|le|ce) (?:documents?|fichiers?|textes?)"
    r"|(?:según|de acuerdo con|en) (?:mis|los|nuestros|estos|tus|el)"
    r" (?:documentos?|archivos?|textos?)"
    r"|(?:secondo|in base ai|nei) (?:i )?(?:miei |nostri |tuoi )?(?:documenti|file|testi)"
    r")\s*[,:]?\s+(?=\w)",
    re.IGNORECASE,
)


def strip_source_phrase(question: str) -> str:
    """Return *question* without an introduction such as "According to my documents,"."""
    return _SOURCE_PHRASE.sub("", question)


def match_answer_type(question: str, sentence: str) -> float:
    """Return 1 if *question* asks for a number or a person and *sentence* contains one, else 0.

    A person's name counts only if the question does not contain it. Return 0.5 if the question asks
    for neither.
    """
    if _ASKS_FOR_NUMBER.search(question):
        return float(bool(_NUMBER.search(sentence)))
    if _ASKS_FOR_PERSON.search(question):
        folded_question = question.casefold()
        # Skip the first word: it is capitalised whether or not it is a name.
        names = _NAME.finditer(sentence, 1)
        return float(any(name.group().casefold() not in folded_question for name in names))
    return 0.5
