"""Kinds of answers that questions ask for: numbers, names of persons, and reasons."""

# ruff: noqa: RUF001 - non-Latin letters are intended
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, Literal

_ASKS_FOR_NUMBER = re.compile(
    r"\bhow (many|much|long|old|far|tall|high|often|large|big|deep|wide|fast|cold|hot|heavy)\b"
    r"|(?:^\W*(?:(?:and|but|so|since|until) )?|[,;:] ?)when\b"
    r"|\bwhat (year|percentage|percent|number|date|day|month|time|price)\b"
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
NUMBER: Final = re.compile(
    r"\d|\b(one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen"
    r"|fifteen"
    r"|sixteen|seventeen|eighteen|nineteen|(?:twen|thir|for|fif|six|seven|eigh|nine)ty|dozens?"
    r"|hundreds?|thousands?|millions?|billions?|both|several|none|half|third|first|second|once"
    r"|twice|noon|midnight"
    r"|(?:mon|tues|wednes|thurs|fri|satur|sun)days?|january|february|april|june|july|october"
    r"|(?:erst|zweit|dritt|viert|fünft|sechst|siebt|acht|neunt|zehnt)e[mnrs]?"
    r"|zwei|drei|vier|fünf|sechs|sieben|acht|neun|zehn|elf|zwölf|\w+zehn|\w*(?:zwan|vier|fünf"
    r"|sech|sieb|acht|neun)zig|\w*dreißig"
    r"|hunderte?|(?:ein|zwei|drei|vier|fünf|sechs|sieben|acht|neun)hundert\w*|\w*tausend"
    r"|millionen|mehrere|beide|täglich|wöchentlich|jährlich"
    r"|kostenlos|(?:mon|diens|donners|frei|sams|sonn)tag\w*|mittwoch\w*"
    r"|januar|februar|märz|april|mai|juni|juli|august|september|oktober|november|dezember"
    r"|deux|trois|quatre|cinq|sept|huit|neuf|dix|onze|douze|treize|quatorze|quinze|seize|vingts?"
    r"|trente|quarante|cinquante|soixante|cents?|mille"
    r"|dos|tres|cuatro|cinco|seis|siete|ocho|nueve|diez|once|doce|trece|catorce"
    r"|quince|veinti\w+|veinte|treinta|cuarenta|cincuenta|sesenta|setenta|ochenta|noventa|cien"
    r"|ciento"
    r"|\w*cientos|mil|gratis"
    r"|lunes|martes|miércoles|jueves|viernes|sábados?|domingos?|enero|febrero|marzo|abril|mayo"
    r"|junio|julio|agosto|septiembre|octubre|noviembre|diciembre"
    r"|due|tre|quattro|cinque|sei|sette|otto|nove|dieci|undici|dodici|tredici|quattordici"
    r"|quindici|sedici|venti|trenta"
    r"|(?:quar|cinqu|sess|sett|ott|nov)anta|cento"
    r"|дв[ае]|двух|тр[её]х|три|четыр\w+|пят\w{1,4}|шест\w{1,3}|сем[ьи]|вос[ье]м\w{1,2}|девят\w{1,3}"
    r"|десят\w{1,3}|\w+надцат\w{1,3}|двадцат\w{1,3}|тридцат\w{1,3}|сорок\w?|\w+десят\w?|сто|ста"
    r"|двести"
    r"|(?:три|четыре)ста|(?:пять|шесть|семь|восемь|девять)сот|тысяч\w*|миллион\w*|один|одн\w{1,3}"
    r"|перв\w{2,3}|втор\w{2,3}|треть\w{1,3}|оба|обе|бесплатн\w+|понедельник\w*|вторник\w*"
    r"|сред[аыу]|четверг\w*|пятниц\w*|суббот\w*|воскресень\w*|январ\w|феврал\w|март\w?|апрел\w"
    r"|ма[яй]|июн\w|июл\w|август\w?|сентябр\w|октябр\w|ноябр\w|декабр\w"
    r"|δύο|τρεις|τρία|τέσσερ\w+|πέντε|έξι|επτά|εφτά|οκτώ|οχτώ|εννέα|εννιά|δέκα|έντεκα|δώδεκα"
    r"|δεκα\w+|είκοσι|τριάντα|σαράντα|πενήντα|εξήντα|εβδομήντα|ογδόντα|ενενήντα|εκατό|χίλι\w+"
    r"|δωρεάν"
    r"|τρεισήμισι|Δευτέρα|Τρίτη|Τετάρτη|Πέμπτη|Παρασκευή|Σάββατο|Κυριακή|Ιαν\w+|Φεβ\w+|Μάρτι\w+"
    r"|Απρίλι\w+|Μάι\w+|Ιούνι\w+|Ιούλι\w+|Αύγουστ\w+|Σεπτ\w+|Οκτώβρι\w+|Νοέμβρι\w+|Δεκέμβρι\w+"
    r"|do[iu]ă?|două|trei|patru|cinci|șase|șapte|opt|nouă|zece|\w+sprezece|\w+zeci|sut[ăe]|mi[ei]"
    r"|gratuit\w?"
    r"|luni|marți|miercuri|joi|vineri|sâmbăt\w+|duminic\w+|ianuarie|februarie|martie|aprilie|iunie"
    r"|iulie|septembrie|octombrie|noiembrie|decembrie"
    r"|iki|üç|dört|beş\w*|altı|yedi|sekiz|dokuz|yirmi|otuz|kırk|elli|altmış|yetmiş|seksen"
    r"|doksan|yüz|bin|ücretsiz|pazartesi|salı|çarşamba"
    r"|perşembe|cuma|cumartesi|pazar|ocak|şubat|mart|nisan|mayıs|haziran|temmuz|ağustos|eylül|ekim"
    r"|kasım|aralık"
    r"|hai|ba|bốn|sáu|bảy|tám|chín|mười|trăm|nghìn|miễn phí|chủ nhật|thứ (?:hai|ba|tư|năm|sáu|bảy)"
    r"|tháng \w+"
    r"|(?:ال)?(?:واحد|اثنان|اثنين|ثلاث|أربع|خمس|ست|سبع|ثمان|تسع|عشر)\w{0,3}|ربع|نصف|مئة|مائة|ألف"
    r"|آلاف"
    r"|(?:ال)?(?:ثانية|ثالثة|رابعة|خامسة|سادسة|سابعة|ثامنة|تاسعة|عاشرة)|مجانا|مجاني\w?"
    r"|الأحد|الاثنين|الثلاثاء|الأربعاء|الخميس|الجمعة|السبت)\b"
    r"|[一二两兩三四五六七八九十百千万半]|免费|免費"
    r"|(?<![\u0900-\u097f])(?:दो|तीन|चार|पाँच|पांच|छह|सात|आठ|नौ|दस|बीस|सौ|हज़ार|हजार|पंद्रह|लाख"
    r"|आधा)"
    r"(?![\u0900-\u097f])|(?:सोम|मंगल|बुध|गुरु|शुक्र|शनि|रवि)वार|मुफ़्त|निःशुल्क"
    r"|หนึ่ง|สอง|สาม|สี่|ห้า|หก|เจ็ด|แปด|เก้า|สิบ|ร้อย|พัน|ฟรี"
    r"|วัน(?:จันทร์|อังคาร|พุธ|พฤหัส|ศุกร์|เสาร์|อาทิตย์)"
    r"|[มกพสตธ]\w{2,12}(?:คม|ยน|พันธ์)",
    re.IGNORECASE,
)
_ASKS_FOR_TIME: Final = re.compile(
    r"(?:^\W*(?:(?:and|but|so|since|until) )?|[,;:] ?)when\b|\bwann\b|\bquand\b|\bcu[áa]ndo\b"
    r"|\bкогда\b|\bπότε\b|\bcând\b|\bne zaman\b|\b(?:khi nào|bao giờ)\b|\bمتى\b|कब|เมื่อไร|เมื่อไหร่"
    r"|什么时候|什麼時候|いつ|언제",
    re.IGNORECASE,
)
# Times without a number, and conditions: "when" can be answered by both. Words that mean something
# else in another language, such as the French "été" or the Italian "si", are left out.
_TIME_OR_CONDITION: Final = re.compile(
    r"\b(if|when|whenever|as soon as|after|before|until|unless|during|daily|weekly|monthly"
    r"|quarterly|yearly|annually|immediately|always|never|mornings?|afternoons?|evenings?|nights?"
    r"|(?:every|each) (?:day|week|month|quarter|year|time)|weekends?|holidays?|end of|beginning of"
    r"|christmas|easter|spring|summer|autumn|winter"
    r"|wenn|sobald|falls|sofern|nachdem|bevor|während|täglich|wöchentlich|monatlich|jährlich|sofort"
    r"|unverzüglich|immer|jede[mnrs]? (?:tag|woche|monat|quartal|jahr)|morgens|mittags|abends"
    r"|nachts|vormittags|nachmittags|wochenenden?|feiertag\w*|werktag\w*"
    r"|(?:monats|quartals|jahres)(?:ende|beginn)|anfang|ende|weihnachten|ostern|frühjahr|frühling"
    r"|sommer|herbst"
    r"|cuando|en cuanto|después|antes|hasta|diariamente|cada (?:día|semana|mes|año)|siempre"
    r"|festivos?|finales? de|navidad|verano|invierno|otoño|primavera|noches?|mañanas?|tardes?"
    r"|quand|lorsque|dès|après|avant|chaque (?:jour|semaine|mois|année)|début|fériés?|hiver|automne"
    r"|если|когда|после|ежедневно|еженедельно|ежемесячно|ежегодно|всегда|утром|вечером|ночью"
    r"|кажд\w{2,3} (?:день|неделю|месяц|год)|выходн\w{2,3}|праздник\w*|конце|конца|начал[еу]|летом"
    r"|зимой|весной|осенью|сразу"
    r"|αν|όταν|μόλις|μετά|πριν|κάθε (?:μέρα|εβδομάδα|μήνα|χρόνο)|αργίες|τέλος|αρχή|καλοκαίρι"
    r"|χειμώνα|πρωί|βράδυ"
    r"|dacă|când|după|înainte|fiecare (?:zi|săptămână|lună|an)|zilnic|sfârșit\w*|început\w*"
    r"|sărbători\w*|vara|iarna"
    r"|her (?:gün|hafta|ay|yıl)|sonra|önce|sonunda|başında|tatil\w*|bayram\w*|yazın|kışın|sabah\w*"
    r"|akşam\w*"
    r"|nếu|khi|sau khi|trước|mỗi (?:ngày|tuần|tháng|năm)|hằng|cuối|ngày lễ|mùa"
    r"|إذا|عندما|بعد|قبل|كل (?:يوم|أسبوع|شهر|سنة)|يوميا|أسبوعيا|شهريا|سنويا|نهاية|بداية|العطل"
    r"|صباحا|مساء)\b"
    r"|अगर|यदि|जब|के बाद|से पहले|हर (?:दिन|साल|महीने)|रोज़|प्रतिदिन|अंत|छुट्ट"
    r"|如果|以后|之后|以前|之前|每[天周月年日]|[月年][底初末]|假日|节日|[春夏秋冬][天季]"
    r"|ถ้า|เมื่อ|หลังจาก|ก่อน|ทุก(?:วัน|เดือน|ปี|สัปดาห์)|สิ้นเดือน|วันหยุด",
    re.IGNORECASE,
)
# "1.750" and "8:30" are not years.
_ASKS_FOR_YEAR = re.compile(
    r"\b(?:what|which) year\b|\bwelche[mnrs]? jahr\b|\bqué año\b|\bquelle année\b|\bche anno\b"
    r"|\bque ano\b|\bкако[йм]\w* год|\bποια χρονιά\b|\bποιο έτος\b|\bce an\b|\bhangi yıl"
    r"|\bnăm nào\b|\bأي (?:سنة|عام)|किस (?:साल|वर्ष)|ปีไหน|ปีใด|哪一?年",
    re.IGNORECASE,
)
_YEAR = re.compile(r"(?<![\d.,:])[1-9]\d{2,3}(?![\d:]|[.,]\d)|[〇零一二三四五六七八九]{4}年")
# "Who is" and "who did" ask for a name. "Who does" and "who may do" can be answered by a role or a
# group: "the tenants".
_ASKS_FOR_NAME = re.compile(
    r"\bwho(?:m|se)?\b (?:(?:is|was|were|are|has|had|did) |\w+ed\b|(?:built|wrote|won|made|led"
    r"|drew|gave"
    r"|bought|sold|began|found|taught|ran)\b)"
    r"|\bwe[rmn] (?:ist|war|hat|hatte|wurde|\w+te)\b|\bwie heißt"
    r"|\bqui (?:est|était|a|fut)\b|\bquién(?:es)? (?:l[oa]s? )?(?:es|fue|era|ha|\w+ó)\b"
    r"|\bchi (?:è|fu|era|ha|\w+ò)\b|\bquem (?:é|foi|era|\w+ou)\b"
    r"|\bкто (?!\w+[еиуюя]т(?:ся)?\b)|\bкак зовут\b"
    r"|\bποιο[ςνυ] (?:τον |την |το )?(?:είναι|ήταν|\w+[σξψ]ε)\b|\bπώς λένε\b"
    r"|\bcine (?:l-|le-)?(?:a|au|este|era)\b|\bkim \w+[dt][ıiuü]\b|\bkim(?:dir)?\W*$"
    r"|\bai (?:là|đã)\b|\b(?:là|bởi) ai\b",
    re.IGNORECASE,
)
# The agent of a passive verb: a company or a group that has no name.
_AGENT = re.compile(
    r"\bby (?:the|an?|its|their|our) |\b(?:von (?:der|dem|den|einer|einem|unserer)|vom) "
    r"|\bpor (?:el|la|los|las|un|una) |\bpar (?:le|la|les|un|une) |\bde către |\btarafından\b"
    r"|\bbởi |\bαπό (?:τον|την|το|τους|τις) ",
    re.IGNORECASE,
)
_ASKS_FOR_PERSON = re.compile(
    r"\b(who|whom|whose|qui|quién|quiénes|chi|quem"
    r"|кто|кого|кем|кому|как зовут|cine|kim|kimdir|kimin|ποιο[ςνυ]|ποιους|πώς λένε"
    r"|(?:do|bởi|của|với) ai)\b|^Ai (?:là|đã|thiết|phụ|có)",
    re.IGNORECASE,
)
_ASKS_FOR_PRICE = re.compile(
    r"\bhow much (?:is|are|was|were|do|does|did|will|would)\b|多少[钱錢]"
    r"|ราคา|ค่า.*(?:เท่าไ[รห]|กี่บาท)",
    re.IGNORECASE,
)
_ASKS_FOR_COST = re.compile(
    r"\b(?:costs?|kostet|kosten|coûtent?|cuestan?|costano?|custam?|kost|стоит|стоят|κοστίζ\w+|costă)\b"
    r"|多少[钱錢]|ราคาเท่า",
    re.IGNORECASE,
)
_AMOUNT_OF_MONEY = re.compile(
    r"[€$£¥₽₹₺฿₫₩]|\b(?:eur|usd|gbp|chf|jpy|cny|rub|inr|ron|vnd|thb|euros?|dollars?|cents?|pounds?"
    r"|pence|francs?|franken|rappen|yen|yuan|rupees?|pesos?|kronen?|kr|zł|kč|lei|leu|bani|lira\w*"
    r"|liras?|lire|kuruş|tl|рубл\w*|руб|копе\w+|долл\w+|евро|ευρώ|λεπτά|đồng|vnđ|دينار\w*|درهم\w*"
    r"|ريال\w*|جنيه\w*|دولار\w*|يورو|ليرة|free|gratis|kostenlos|kostenfrei|бесплатн\w+|δωρεάν"
    r"|gratuit\w*|ücretsiz|miễn phí|مجان\w*)\b|रुप|मुफ़्त|निःशुल्क|บาท|ฟรี|[元块塊角円毛]|免[费費]|원",
    re.IGNORECASE,
)
_ASKS_FOR_PERSON_WITHOUT_CAPITALS = re.compile(
    r"谁|誰|किसने|कौन|ใคร|\bمن (?:هو|هي|الذي|قام|[^\W\d_]+)"
)
# All nouns have a capital letter in German: a name follows another one, a title or "Firma".
_ASKS_FOR_PERSON_IN_GERMAN = re.compile(r"\b(wer|wem|wen|wie heißt)\b", re.IGNORECASE)
_GERMAN_NAME = re.compile(
    r"(?<!^)\b(?:Herrn?|Frau|Dr\.|Prof\.|Firma|[^\W\d_a-zäöüß][^\W\d_]+) ([^\W\d_a-zäöüß][^\W\d_]+)"
)
_ASKS_FOR_REASON = re.compile(
    r"\b(why|how come|warum|wieso|weshalb|weswegen|pourquoi|por qué|perché|por que|waarom"
    r"|почему|зачем|отчего"
    r"|γιατί|de ce|neden|niçin|niye|tại sao|vì sao|لماذا)\b"
    r"|为什么|為什麼|为何|क्यों|ทำไม|เพราะอะไร|なぜ|どうして|왜",
    re.IGNORECASE,
)
_REASON = re.compile(
    r"\b(because|since|as|due|so|to|for|from|caus\w+|reason\w*|owing|thus|therefore|hence|after"
    r"|result\w*|when|if|lest|prevent\w*|risk\w*"
    r"|weil|denn|da|wegen|damit|aufgrund|deshalb|daher|nachdem|um zu|grund|parce|car|afin|pour"
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


_Kind = Literal["year", "time", "number", "reason", "person in German", "person", "other"]
# Each question is compared with some hundred sentences.
_MAX_CACHED_QUESTIONS: Final = 256


def strip_source_phrase(question: str) -> str:
    """Return *question* without an introduction such as "According to my documents,"."""
    return _SOURCE_PHRASE.sub("", question)


@lru_cache(_MAX_CACHED_QUESTIONS)
def asks_for_person(question: str) -> bool:
    """Return True if *question* asks for a person, also in scripts without capital letters."""
    return any(
        pattern.search(question)
        for pattern in (
            _ASKS_FOR_PERSON,
            _ASKS_FOR_PERSON_IN_GERMAN,
            _ASKS_FOR_PERSON_WITHOUT_CAPITALS,
        )
    )


def needs_answer_type(question: str, sentence: str) -> bool:
    """Return True if *sentence* can answer *question* only with what `match_answer_type` looks for.

    A role or a group can answer who does something: "The customer pays."
    """
    if not asks_for_person(question):
        return True
    return _asks_for_name(question) and not _AGENT.search(sentence)


@lru_cache(_MAX_CACHED_QUESTIONS)
def _asks_for_name(question: str) -> bool:
    return bool(_ASKS_FOR_NAME.search(question))


@lru_cache(_MAX_CACHED_QUESTIONS)
def asks_for_price(question: str) -> bool:
    """Return True if *question* asks for a price in other words than `find_price_terms` has."""
    return bool(_ASKS_FOR_PRICE.search(question))


def lacks_cost(question: str, sentence: str) -> bool:
    """Return True if *question* asks what something costs, and *sentence* names no money.

    A price without a currency, such as that in a column of prices, is not recognised.
    """
    return _asks_for_cost(question) and not _AMOUNT_OF_MONEY.search(sentence)


@lru_cache(_MAX_CACHED_QUESTIONS)
def _asks_for_cost(question: str) -> bool:
    return bool(_ASKS_FOR_COST.search(question)) and not _ASKS_FOR_TIME.search(question)


def match_answer_type(question: str, sentence: str) -> float:
    """Return 1 if *sentence* contains a number, person or reason that *question* asks for, else 0.

    A time without a number, or a condition, also answers when something happens.

    A person's name counts only if the question does not contain it. Return 0.5 if the question asks
    for none of them.
    """
    match _classify_question(question):
        case "year":
            return float(bool(_YEAR.search(sentence)))
        case "time":
            return float(bool(_TIME_OR_CONDITION.search(sentence) or NUMBER.search(sentence)))
        case "number":
            return float(bool(NUMBER.search(sentence)))
        case "reason":
            return float(bool(_REASON.search(sentence)))
        case "person in German":
            return float(any(_find_new_names(_GERMAN_NAME.findall(sentence), question)))
        case "person":
            # Skip the first word: it is capitalised whether or not it is a name.
            names = (match.group() for match in _NAME.finditer(sentence, 1))
            persons = _find_new_names((name for name in names if name[0].isupper()), question)
            return float(any(not NUMBER.fullmatch(name) for name in persons))
        case _:
            return 0.5


@lru_cache(_MAX_CACHED_QUESTIONS)
def _classify_question(question: str) -> _Kind:
    if _ASKS_FOR_YEAR.search(question):
        return "year"
    if _ASKS_FOR_NUMBER.search(question):
        return "time" if _ASKS_FOR_TIME.search(question) else "number"
    if _ASKS_FOR_REASON.search(question):
        return "reason"
    if _ASKS_FOR_PERSON_IN_GERMAN.search(question):
        return "person in German"
    return "person" if _ASKS_FOR_PERSON.search(question) else "other"


def _find_new_names(names: Iterable[str], question: str) -> Iterable[str]:
    """Return those of *names* that are not in *question*.

    Words in parentheses at the end of *question* were added by `rewrite_follow_up`.
    """
    own_part = question.partition(" (")[0].casefold()
    return (name for name in names if name.casefold() not in own_part)
