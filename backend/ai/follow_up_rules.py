"""Words of follow-up questions in languages other than English, German, French and Italian."""

# ruff: noqa: RUF001 - non-Latin letters are intended
import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class FollowUpRules:
    """Patterns of a language: words that refer back, to a person, and that begin a follow-up.

    A reference counts in short questions only: in long ones it refers to a word of the same
    question.
    """

    reference: re.Pattern[str]
    person: re.Pattern[str]
    continuation: re.Pattern[str]


def _compile_rules(reference: str, person: str, continuation: str) -> FollowUpRules:
    def match_words(words: str) -> str:
        return rf"(?<![\w\u0900-\u0963])(?:{words})(?![\w\u0900-\u0963])"

    return FollowUpRules(
        re.compile(match_words(f"{reference}|{person}"), re.IGNORECASE),
        re.compile(match_words(person), re.IGNORECASE),
        re.compile(rf"^\W*(?:{continuation})\W*", re.IGNORECASE),
    )


def _compile_unspaced_rules(reference: str, person: str, continuation: str) -> FollowUpRules:
    return FollowUpRules(
        re.compile(f"{reference}|{person}"), re.compile(person), re.compile(f"^(?:{continuation})")
    )


FOLLOW_UP_RULES: Final = {
    "es": _compile_rules(
        "ello|eso|esto|esa|ese|allí|ahí|su|sus|aquello",
        "él|ella|ellos|ellas",
        r"(?:y|e|pero|entonces|además)\b(?: (?:qué (?:pasa con|tal)|si)\b)?",
    ),
    "ru": _compile_rules(
        "это|этот|эта|эти|этого|этой|этом|там|туда|оттуда|тогда|такой|такая|оно|них",
        "он|она|они|его|её|ее|их|ему|ей|им|ним|ней|нём",
        r"(?:а|и|но|или)\b(?: (?:как насчёт|как насчет|что насчёт|что насчет|если)\b)?",
    ),
    "ar": _compile_rules(
        "ذلك|تلك|هذا|هذه|هناك|هنا|فيه|فيها|منه|منها|عنه|عنها|له|لها",
        "هو|هي|هم",
        "وماذا عن|ماذا عن|و(?=ماذا|متى|كم|أين|من|كيف|لماذا|هل|ما|أي)|لكن|أو",
    ),
    "el": _compile_rules(
        "αυτό|αυτά|αυτού|εκεί|τότε|ίδιο|ίδια",
        "αυτός|αυτή|αυτοί|αυτές|αυτόν|αυτήν|αυτής",
        r"(?:και|κι|αλλά|ή|όμως)\b(?: (?:για|αν)\b)?|τι γίνεται με\b",
    ),
    "hi": _compile_rules(
        "यह|ये|इसका|इसकी|इसके|इसे|इसमें|उसमें|वहाँ|वहां|इस|उस",
        "वह|वे|उसका|उसकी|उसके|उसे|उन्हें|उनका|उनकी|उनके|उन्होंने|उसने",
        "और|तो|लेकिन|या|फिर",
    ),
    "ro": _compile_rules(
        "acolo|acesta|aceasta|acestea|asta|acela|aceea|atunci|lui|lor|său|sa|cel|cea|cei|cele",
        "el|ea|ei|ele",
        r"(?:dar|și|iar|sau|deci)\b(?: (?:pentru|despre)\b)?|ce zici de\b",
    ),
    "tr": _compile_rules(
        "bu|bunu|bunun|buna|şu|orada|oraya|burada|oradan|aynı",
        "o|onu|onun|ona|onlar|onların|ondan",
        r"(?:peki|ya|ve|ama|veya)\b(?: ya\b)?",
    ),
    "vi": _compile_rules(
        "nó|đó|này|ở đó|cái đó|việc đó|chỗ đó",
        "họ|anh ấy|cô ấy|ông ấy|bà ấy|ông|bà",
        r"(?:còn|thế còn|vậy còn|và|vậy|nhưng|hay)\b",
    ),
    "zh": _compile_unspaced_rules(
        "它们?|这个|那个|这里|那里|那儿|其中|该", "他们?|她们?", "那么?|还有|而|但是?|那|和"
    ),
    "th": _compile_unspaced_rules("มัน|ที่นั่น|ที่นี่|นั้น|สิ่งนี้", "เขา|เธอ|พวกเขา|ท่าน", "แล้ว|และ|แต่|ส่วน"),
}
