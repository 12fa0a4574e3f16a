"""Kinds of answers that questions ask for: numbers, names of persons, and reasons."""

# ruff: noqa: RUF001 - non-Latin letters are intended
import re

_ASKS_FOR_NUMBER = re.compile(
    r"\bhow (many|much|long|old|far|tall|high|often|large|big|deep|wide|fast|cold|hot|heavy)\b"
    r"|\bwhen\b|\bwhat (year|percentage|percent|number|date|day|month|time|price)\b"
    r"|\bin (which|what) year\b|\bwie (viel|lang|hoch|oft|alt|weit|teuer|groß)|\bwann\b"
    r"|\bwieviel|\bwelche[smnr]? (jahr|tag|monat|datum|uhrzeit|preis)|\bwas kostet|\bcombien\b"
    r"|\bquand\b|\b(a )?qué (hora|año|día|fecha|precio)"
    r"|\bcu[áa]nd?t?[oa]s?\b|\bquant[oaie]\b|\bсколько\b|\bкогда\b|\bсколькими\b"
    r"|\bкако(?:й|го|м|ва|вы|е) (?:год|час|числ|высот|длин|цен|день|процент|скидк)"
    r"|\bπόσ[οηεα]\w*|\bπότε\b|\bτι ώρα\b|\bποι[αο]\w* (?:χρονιά|έτος|ημερομηνία|ώρα|μέρα)"
    r"|\bc[âa][țt][iăae]?\b|\bcând\b|\bce (?:an|dată|oră|zi|preț|înălțime|lungime)\b"
    r"|\bkaç|\bne kadar\b|\bne zaman\b|\bhangi (?:yıl|gün|tarih|ay|saat)"
    r"|\bbao nhiêu\b|\bbao lâu\b|\bmấy\b|\bkhi nào\b|\b(?:năm|ngày|lúc|tháng) nào\b"
    r"|\bكم\b|\bمتى\b|\bأي (?:سنة|عام|يوم|ساعة|تاريخ)"
    r"|कितन|कब|किस (?:साल|वर्ष|दिन|तारीख)"
    r"|เท่าไร|เท่าไหร่|กี่|เมื่อไร|เมื่อไหร่|ปีไหน|ปีใด|วันไหน|เดือนอะไร|แค่ไหน"
    r"|多少|几|何[時时日年人円個]|什么时候|什麼時候|哪一?[年天月日]|多[长長久高大远遠重深宽快]"
    r"|いつ|いくつ|いくら|몇|언제|얼마",
    re.IGNORECASE,
)
# Digits, number words, weekdays and months.
_NUMBER = re.compile(
    r"\d|\b(one|two|three|four|five|six|seven|eight|nine|ten|dozen|hundred|thousand|million"
    r"|billion|half|third|first|second|once|twice|noon|midnight"
    r"|zwei|drei|vier|fünf|sechs|sieben|acht|neun|zehn|elf|zwölf|zwanzig|dreißig|hundert|tausend"
    r"|kostenlos|(?:mon|diens|donners|frei|sams|sonn)tag\w*|mittwoch\w*"
    r"|januar|februar|märz|april|mai|juni|juli|august|september|oktober|november|dezember"
    r"|deux|trois|quatre|cinq|sept|huit|neuf|dix|onze|douze|quinze|vingt|trente|cent|mille"
    r"|dos|tres|cuatro|cinco|seis|siete|ocho|nueve|diez|doce|veinte|treinta|cien|mil|gratis"
    r"|lunes|martes|miércoles|jueves|viernes|sábados?|domingos?|enero|febrero|marzo|abril|mayo"
    r"|junio|julio|agosto|septiembre|octubre|noviembre|diciembre"
    r"|due|tre|quattro|cinque|sei|sette|otto|nove|dieci|dodici|venti|trenta|cento"
    r"|дв[ае]|двух|тр[её]х|три|четыр\w+|пят\w{1,4}|шест\w{1,3}|сем[ьи]|вос[ье]м\w{1,2}|девят\w{1,3}"
    r"|десят\w{1,3}|двадцат\w|тридцат\w|сто|тысяч\w?|бесплатн\w+|понедельник\w*|вторник\w*"
    r"|сред[аыу]|четверг\w*|пятниц\w*|суббот\w*|воскресень\w*|январ\w|феврал\w|март\w?|апрел\w"
    r"|ма[яй]|июн\w|июл\w|август\w?|сентябр\w|октябр\w|ноябр\w|декабр\w"
    r"|δύο|τρεις|τρία|τέσσερ\w+|πέντε|έξι|επτά|εφτά|οκτώ|οχτώ|εννέα|εννιά|δέκα|είκοσι|εκατό|δωρεάν"
    r"|τρεισήμισι|Δευτέρα|Τρίτη|Τετάρτη|Πέμπτη|Παρασκευή|Σάββατο|Κυριακή|Ιαν\w+|Φεβ\w+|Μάρτι\w+"
    r"|Απρίλι\w+|Μάι\w+|Ιούνι\w+|Ιούλι\w+|Αύγουστ\w+|Σεπτ\w+|Οκτώβρι\w+|Νοέμβρι\w+|Δεκέμβρι\w+"
    r"|do[iu]ă?|două|trei|patru|cinci|șase|șapte|opt|nouă|zece|douăzeci|treizeci|sut[ăe]|gratuit\w?"
    r"|luni|marți|miercuri|joi|vineri|sâmbăt\w+|duminic\w+|ianuarie|februarie|martie|aprilie|iunie"
    r"|iulie|septembrie|octombrie|noiembrie|decembrie"
    r"|iki|üç|dört|beş\w*|altı|yedi|sekiz|dokuz|yirmi|otuz|yüz|bin|ücretsiz|pazartesi|salı|çarşamba"
    r"|perşembe|cuma|cumartesi|pazar|ocak|şubat|mart|nisan|mayıs|haziran|temmuz|ağustos|eylül|ekim"
    r"|kasım|aralık"
    r"|hai|ba|bốn|sáu|bảy|tám|chín|mười|trăm|nghìn|miễn phí|chủ nhật|thứ (?:hai|ba|tư|năm|sáu|bảy)"
    r"|tháng \w+"
    r"|(?:ال)?(?:واحد|اثنان|اثنين|ثلاث|أربع|خمس|ست|سبع|ثمان|تسع|عشر)\w{0,3}|ربع|نصف|مئة|مائة|ألف|آلاف"
    r"|(?:ال)?(?:ثانية|ثالثة|رابعة|خامسة|سادسة|سابعة|ثامنة|تاسعة|عاشرة)|مجانا|مجاني\w?"
    r"|الأحد|الاثنين|الثلاثاء|الأربعاء|الخميس|الجمعة|السبت)\b"
    r"|[一二两兩三四五六七八九十百千万半]|免费|免費"
    r"|(?<![\u0900-\u097f])(?:दो|तीन|चार|पाँच|पांच|छह|सात|आठ|नौ|दस|बीस|सौ|हज़ार|हजार|पंद्रह|लाख|आधा)"
    r"(?![\u0900-\u097f])|(?:सोम|मंगल|बुध|गुरु|शुक्र|शनि|रवि)वार|मुफ़्त|निःशुल्क"
    r"|หนึ่ง|สอง|สาม|สี่|ห้า|หก|เจ็ด|แปด|เก้า|สิบ|ร้อย|พัน|ฟรี"
    r"|วัน(?:จันทร์|อังคาร|พุธ|พฤหัส|ศุกร์|เสาร์|อาทิตย์)"
    r"|[มกพสตธ]\w{2,12}(?:คม|ยน|พันธ์)",
    re.IGNORECASE,
)
_ASKS_FOR_PERSON = re.compile(
    r"\b(who|whom|whose|qui|quién|quiénes|chi|quem"
    r"|кто|кого|кем|кому|как зовут|cine|kim|kimdir|kimin|ποιο[ςνυ]|ποιους|πώς λένε"
    r"|(?:do|bởi|của|với) ai)\b|^Ai (?:là|đã|thiết|phụ|có)",
    re.IGNORECASE,
)
# All nouns have a capital letter in German: a name follows another one, a title or "Firma".
_ASKS_FOR_PERSON_IN_GERMAN = re.compile(r"\b(wer|wem|wen|wie heißt)\b", re.IGNORECASE)
_GERMAN_NAME = re.compile(
    r"(?<!^)\b(?:Herrn?|Frau|Dr\.|Prof\.|Firma|[^\W\d_a-zäöüß][^\W\d_]+) ([^\W\d_a-zäöüß][^\W\d_]+)"
)
_ASKS_FOR_REASON = re.compile(
    r"\b(warum|wieso|weshalb|weswegen|pourquoi|por qué|perché|por que|waarom|почему|зачем|отчего"
    r"|γιατί|de ce|neden|niçin|niye|tại sao|vì sao|لماذا)\b"
    r"|为什么|為什麼|为何|क्यों|ทำไม|เพราะอะไร|なぜ|どうして|왜",
    re.IGNORECASE,
)
_REASON = re.compile(
    r"\b(weil|denn|da|wegen|damit|aufgrund|deshalb|daher|nachdem|um zu|grund|parce|car|afin|pour"
    r"|porque|debido|para|causa|riesgo|ya que|pues|perché|poiché|omdat"
    r"|потому|поскольку|так как|из-за|чтобы|ради|причин\w|после того|благодаря"
    r"|επειδή|γιατί|διότι|λόγω|καθώς|ώστε|εξαιτίας|για να"
    r"|deoarece|pentru că|fiindcă|din cauza|întrucât|căci|ca să|datorită"
    r"|çünkü|nedeniyle|için|dolayı|yüzünden|sebebiyle|diye"
    r"|vì|bởi|do|nhằm|để|nên"
    r"|لأن\w*|بسبب|نظرا|كي|لكي|حتى|من أجل|لتجنب)\b"
    r"|因为|因為|由于|由於|原因|以防|以免|为了|為了|所以|因此|क्योंकि|कारण|ताकि|इसलिए|की वजह"
    r"|เพราะ|เนื่องจาก|เพื่อ|จึง|สาเหตุ|ため|ので|から|때문",
    re.IGNORECASE,
)
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
    """Return 1 if *sentence* contains a number, person or reason that *question* asks for, else 0.

    A person's name counts only if the question does not contain it. Return 0.5 if the question asks
    for none of them.
    """
    if _ASKS_FOR_NUMBER.search(question):
        return float(bool(_NUMBER.search(sentence)))
    if _ASKS_FOR_REASON.search(question):
        return float(bool(_REASON.search(sentence)))
    if _ASKS_FOR_PERSON_IN_GERMAN.search(question):
        german_names = _GERMAN_NAME.findall(sentence)
        return float(any(name.casefold() not in question.casefold() for name in german_names))
    if _ASKS_FOR_PERSON.search(question):
        folded_question = question.casefold()
        # Skip the first word: it is capitalised whether or not it is a name.
        names = _NAME.finditer(sentence, 1)
        return float(
            any(
                name.group()[0].isupper() and name.group().casefold() not in folded_question
                for name in names
            )
        )
    return 0.5
