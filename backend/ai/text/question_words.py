"""Words that phrase questions: what they ask for is in the answer in another form or not at all.

Function words, such as *who* and *how*, are in `language_words`.
"""

# ruff: noqa: RUF001 - non-Latin letters are intended
from functools import lru_cache
from typing import Final

from backend.ai.text.terms import extract_terms

# By ISO 639-1 code. A text that answers a question need not contain them.
_QUESTION_WORDS: Final = {
    "de": "dauert dauern steht stehen zustehen liegt liegen findet finden statt erreicht heißen"
    " land länder ländern stadt person firma art sorten macht hoch lange lang oft groß weit alt"
    " nennt nennen erreiche erreichen erreichbar beträgt uhr bekomme bekommt nummer genau jahr tag"
    " welch befindet befinden darf dürfen erlaubt heutzutage eigentlich bitte sag sage zeig liste"
    " nenne bedeutet bedeuten besagt sagt regelt",
    "es": "país países ciudad persona tipo cuesta llama llaman nombre largo alto año día hora"
    " número tarda dime puedo se permite permitido encuentra encuentran queda lista enumera sirve"
    " precio vale significa dice",
    "fr": "appelle nom longtemps haut année jour heure numéro dure peut-on trouve dis liste"
    " signifie dit",
    "it": "chiama nome lungo alto anno giorno ora numero dura posso trova dimmi elenca"
    " significa dice",
    "pt": "chama nome longo alto ano dia hora número dura posso fica diga liste significa diz",
    "ru": "часто страны страну стран город откуда вид зовут звать называется года году год час"
    " часу часов день дни дня дням число нужно нельзя разрешено можно находится находятся"
    " расположен длится времени долго скажи назови перечисли какого каком какую высота"
    " означает значит обозначает говорится",
    "ar": "دول دولة مدينة نوع يبلغ تبلغ اسم عدد سنة عام يوم ساعة الساعة مدة تستغرق يستغرق يقع تقع"
    " يوجد يمكن يجب اذكر هي يسمى تسمى يعني تعني معنى",
    "el": "χώρα χώρες πόλη κάθε λέγεται λένε όνομα χρονιά έτος μέρα ημέρα ώρα ώρες αριθμός διαρκεί"
    " βρίσκεται βρίσκονται επιτρέπεται απαγορεύεται πες ποσό ανέρχεται σημαίνει λέει",
    "hi": "देश देशों शहर प्रकार नाम साल वर्ष दिन समय बजे संख्या स्थित बताओ बताइए मिलता मिलती मना"
    " लगता लगती होगा चाहिए मतलब अर्थ",
    "ro": "țară țări țările oraș fel numește cheamă nume an anul zi ora oră număr durează află"
    " afla găsește găsesc pot voie spune enumeră înălțime costă preț"
    " înseamnă spune semnifică",
    "tr": "ülke ülkeler ülkelere şehir zamana en geç adı ad yıl yılda gün saat numara sürer"
    " sürüyor bulunur bulunuyor söyle listele yasak kişi lira fiyatı fiyat ücreti demek"
    " anlama gelir anlamı",
    "vi": "nước thành phố loại tên gọi năm ngày giờ mấy số nằm kéo dài được phép hãy kể liệt lâu"
    " tiền nghĩa",
}
# Words that ask for a price. A text with a number may give the price without them.
_PRICE_WORDS: Final = {
    "en": "price cost costs fee charge pay paid",
    "de": "kostet kosten preis teuer gebühr zahlen bezahlen zahlt",
    "es": "cuesta cuestan precio vale valen coste tarifa pagar paga",
    "fr": "coûte coûtent prix tarif payer",
    "it": "costa costano prezzo tariffa pagare",
    "pt": "custa custam preço tarifa pagar",
    "ru": "стоит стоят стоимость цена цену платить плата заплатить платят обойдётся",
    "ar": "ثمن سعر تكلفة تكلف يكلف رسوم أدفع ندفع",
    "el": "κοστίζει κοστίζουν τιμή κόστος πληρώνω πληρώνουμε",
    "hi": "दाम कीमत मूल्य शुल्क खर्च रुपये",
    "ro": "costă costa preț prețul plătește plătesc tarif",
    "tr": "fiyat fiyatı ücret ücreti lira para tutar ödenir",
    "vi": "giá tiền phí tốn đồng trả",
}


def has_question_words(language: str) -> bool:
    """Return True if the words of *language* are known."""
    return language in _QUESTION_WORDS


@lru_cache
def find_question_terms(language: str) -> frozenset[str]:
    """Return the terms of words that only phrase questions in *language*."""
    return frozenset(extract_terms(_QUESTION_WORDS.get(language, ""), language))


@lru_cache
def find_price_terms(language: str) -> frozenset[str]:
    """Return the terms of words that ask for a price in *language*."""
    return frozenset(extract_terms(_PRICE_WORDS.get(language, ""), language))
