"""Rules that map questions about packages in twelve languages to calls of the packages tools.

A question in an unusual wording is matched by its words: it names a package, one of its words asks
where the package is, when it arrives or why it is late, and all others belong to such questions.
"""

# ruff: noqa: RUF001 - non-Latin letters are intended
import re
from dataclasses import dataclass
from typing import Any, Final

from backend.services.agent.engine.chat_models.planner import PlannedToolCall

# A tracking number or an id of a package: capitals and digits with at least six digits, or pkg_….
_PACKAGE_NAME: Final = r"(?P<name>pkg_[0-9a-f]{20,40}|(?-i:(?=(?:[A-Z]*\d){6})[A-Z0-9]{8,40}))"
_PACKAGE_WORD: Final = r"(?:(?:my|the|our) )?(?:(?:package|parcel|shipment|delivery) )?"
_GERMAN_PACKAGE_WORD: Final = (
    r"(?:(?:mein|meine|das|die|unser|unsere|dem|der|meinem|meiner) )?"
    r"(?:(?:paket|sendung|lieferung|päckchen) )?"
)
_PACKAGE_REQUESTS: Final = tuple(
    (re.compile(pattern + r"\W*$", re.IGNORECASE), tool, arguments)
    for pattern, tool, arguments in (
        (
            (
                rf"^why (?:is|was|has) {_PACKAGE_WORD}{_PACKAGE_NAME}"
                r"(?: (?:so|been|still|running|delivered))* (?:late|delayed|overdue|stuck|slow)"
            ),
            "investigate_package",
            {},
        ),
        (
            (
                rf"^(?:warum|wieso|weshalb) (?:ist|war|kommt) {_GERMAN_PACKAGE_WORD}{_PACKAGE_NAME}"
                r"(?: (?:so|zu|noch|nicht))* (?:versp\w+tet|sp\w+t|pünktlich|langsam|angekommen)"
            ),
            "investigate_package",
            {},
        ),
        (
            rf"^was stimmt (?:mit|bei) {_GERMAN_PACKAGE_WORD}{_PACKAGE_NAME} nicht",
            "investigate_package",
            {"subject": "anomaly"},
        ),
        (
            (
                rf"^wann (?:kommt|wird) {_GERMAN_PACKAGE_WORD}{_PACKAGE_NAME}"
                r" (?:an|ankommen|geliefert|zugestellt)"
            ),
            "predict_package",
            {},
        ),
        (
            rf"^wo ist {_GERMAN_PACKAGE_WORD}{_PACKAGE_NAME}",
            "get_package",
            {},
        ),
        (
            rf"^(?:what(?:'s| is) wrong with|investigate|check) {_PACKAGE_WORD}{_PACKAGE_NAME}",
            "investigate_package",
            {"subject": "anomaly"},
        ),
        (
            (
                rf"^(?:when (?:will|does|is)|will) {_PACKAGE_WORD}{_PACKAGE_NAME}"
                r" (?:arriv\w+|be (?:delivered|late|there|on time)|come|due|expected)"
            ),
            "predict_package",
            {},
        ),
        (
            (
                rf"^(?:where(?:'s| is)|track|(?:what(?:'s| is) the )?status of) "
                rf"{_PACKAGE_WORD}{_PACKAGE_NAME}"
            ),
            "get_package",
            {},
        ),
    )
)


@dataclass(frozen=True, slots=True)
class _Words:
    """Words of questions about packages in one language, in lower case, separated by spaces.

    `places`, `times` and `reasons` ask for what they are named after, `choices` and `counts` for
    packages. `others` are articles, pronouns and verbs.
    """

    nouns: str
    places: str
    times: str
    reasons: str
    choices: str
    counts: str
    late: str
    others: str

    @property
    def all(self) -> frozenset[str]:
        return frozenset(
            " ".join(
                (
                    *(self.nouns, self.places, self.times, self.reasons),
                    *(self.choices, self.counts, self.late, self.others),
                )
            ).split()
        )


_LANGUAGES: Final = (
    _Words(
        nouns="package packages parcel parcels shipment shipments delivery",
        places="where status track",
        times="when eta",
        reasons="why",
        choices="which list show",
        counts="many",
        late="late delayed overdue stuck slow",
        others="is are was has have been do does did will be my our the of with number still so yet"
        " now right currently what what's where's how arrive arriving arrived come delivered"
        " expected due i we me all running for going to not",
    ),
    _Words(
        nouns="paket pakete pakets paketes päckchen sendung sendungen lieferung lieferungen",
        places="wo status sendungsstatus",
        times="wann",
        reasons="warum wieso weshalb",
        choices="welche zeige zeig liste",
        counts="viele wieviele",
        late="verspätet verspätete verspäteten überfällig spät langsam pünktlich verzögert",
        others="ist sind war hat haben habe kommt wird werden mein meine meiner meines meinem das"
        " die der des dem den unser unsere unserer mit von nummer noch so zu nicht gerade jetzt"
        " aktuell an ankommen angekommen geliefert zugestellt bleibt steckt befindet sich wie was"
        " ich wir mir alle gibt es",
    ),
    _Words(
        nouns="paquete paquetes envío envíos envio envios pedido",
        places="dónde donde estado rastrea rastrear",
        times="cuándo cuando",
        reasons="por_qué porqué",
        choices="qué cuáles lista muestra muéstrame",
        counts="cuántos cuántas",
        late="retrasado retrasados retraso retrasó tarde demorado demorados demora"
        " atrasado atrasados",
        others="está están es son se ha han va llega llegan llegó llegará llegar entrega entregará"
        " entregado el la los las de del mi mis nuestro un con lleva tiene tengo tan todavía aún no"
        " número ahora cuál hay",
    ),
    _Words(
        nouns="colis paquet paquets envoi envois livraison",
        places="où statut état suivre suivi",
        times="quand",
        reasons="pourquoi",
        choices="quels quelles liste montre",
        counts="combien",
        late="retard tard retardé retardés bloqué",
        others="est sont a ont se trouve arrive arrivera arriver arrivé sera livré le la les l"
        " de du d mon mes notre en il t encore si pas numéro quel on j'ai ai moi",
    ),
    _Words(
        nouns="pacco pacchi spedizione spedizioni",
        places="dove dov'è stato",
        times="quando",
        reasons="perché",
        choices="quali elenca mostra mostrami",
        counts="quanti quante",
        late="ritardo tardi ritardato bloccato",
        others="è sono si trova arriva arriverà arrivare arrivato sarà consegnato il lo la i le del"
        " della mio mia miei in così ancora non numero ora qual ho",
    ),
    _Words(
        nouns="pacote pacotes encomenda encomendas remessa",
        places="onde estado status",
        times="quando",
        reasons="por_que porque",
        choices="quais lista mostra mostre",
        counts="quantos quantas",
        late="atrasado atrasada atrasados atrasadas atraso tarde",
        others="está estão é são chega chegará chegar chegou será entregue o a os as do da de meu"
        " minha meus minhas em com ainda tão não número agora qual tenho",
    ),
    _Words(
        nouns="посылка посылки посылку посылок отправление отправления груз",
        places="где статус",
        times="когда",
        reasons="почему",
        choices="какие покажи список",
        counts="сколько",
        late="опаздывает опаздывают задерживается задерживаются задержалась задержали опоздала"
        " просрочены",
        others="моя моей мои мой сейчас находится придёт придет прибудет доставят будет доставлена"
        " так ещё еще не номер у меня с",
    ),
    _Words(
        nouns="δέμα δέματα πακέτο πακέτα αποστολή",
        places="πού που κατάσταση",
        times="πότε",
        reasons="γιατί",
        choices="ποια δείξε",
        counts="πόσα",
        late="αργεί αργούν άργησε καθυστερεί καθυστερούν καθυστέρησε καθυστερημένο",
        others="είναι βρίσκεται θα φτάσει φτάνει έρθει παραδοθεί το τα του η μου έχει έχω ακόμα"
        " τόσο δεν αριθμός τώρα",
    ),
    _Words(
        nouns="colet coletul coletului colete coletele pachet pachetul",
        places="unde starea stadiul",
        times="când",
        reasons="de_ce",
        choices="care arată",
        counts="câte",
        late="întârzie întârziat întârziate întârziere",
        others="este e sunt a are se află ajunge ajungă va fi livrat sosește meu mele al al în încă"
        " atât nu numărul acum am",
    ),
    _Words(
        nouns="paket paketi paketim paketler paketlerim kargo kargom gönderi gönderim",
        places="nerede durumu",
        times="zaman",
        reasons="neden niye niçin",
        choices="hangi göster",
        counts="kaç",
        late="gecikti gecikiyor geç geciken gecikmiş",
        others="ne benim numaralı gelecek geliyor gelir ulaşacak varacak teslim edilecek hâlâ bu"
        " kadar şu anda kaldı var",
    ),
    _Words(
        nouns="kiện_hàng gói_hàng bưu_kiện đơn_hàng",
        places="ở_đâu trạng_thái",
        times="khi_nào bao_giờ",
        reasons="tại_sao vì_sao sao",
        choices="nào những",
        counts="bao_nhiêu",
        late="trễ muộn chậm",
        others="của tôi đang bị đến tới sẽ được giao lại vẫn chưa số hiện có",
    ),
    _Words(
        nouns="الطرد طرد طردي الشحنة شحنة شحنتي الطرود الشحنات",
        places="أين حالة",
        times="متى",
        reasons="لماذا",
        choices="أي اعرض",
        counts="كم",
        late="متأخر متأخرة المتأخرة تأخر تأخرت يتأخر",
        others="هو هي ما رقم سيصل يصل ستصل تصل الآن لم بعد لدي",
    ),
    _Words(
        nouns="पार्सल पैकेज शिपमेंट खेप",
        places="कहाँ कहां स्थिति",
        times="कब",
        reasons="क्यों",
        choices="कौन दिखाओ",
        counts="कितने",
        late="देर देरी लेट विलंब",
        others="है हैं मेरा मेरे का की से में हो रहा रही पहुँचेगा पहुंचेगा आएगा मिलेगा अभी हुई हुआ सा क्या पास नंबर",
    ),
)
_ALL_WORDS: Final = tuple(language.all for language in _LANGUAGES)
# Words that are written with a space, longest first.
_PHRASES: Final = re.compile(
    r"(?<!\S)(?:{})(?!\S)".format(
        "|".join(
            sorted(
                {word.replace("_", " ") for words in _ALL_WORDS for word in words if "_" in word},
                key=len,
                reverse=True,
            )
        )
    )
)
_NAME: Final = re.compile(rf"(?<![\w-]){_PACKAGE_NAME}(?![\w-])")
# A reference of the sender. It names a package only beside a word such as "package".
_REFERENCE: Final = re.compile(r"(?<![\w-])(?=[\w-]*\d)(?P<name>[A-Za-z0-9][\w-]{3,39})(?![\w-])")
_MARKS: Final = re.compile(r"[^\w\s'’\u0900-\u0963\u0610-\u061a\u064b-\u065f]")
_CHINESE_NOUN: Final = r"(?:我的)?(?:包裹|快递|货物|快件)?"
_CHINESE_REQUESTS: Final = tuple(
    (re.compile(pattern + r"\W*$"), tool)
    for pattern, tool in (
        (
            rf"^为什么{_CHINESE_NOUN}\s*{_PACKAGE_NAME}\s*(?:会|还|这么)?(?:晚|迟|延误|延迟|没到)\S{{0,3}}",
            "investigate_package",
        ),
        (
            rf"^{_CHINESE_NOUN}\s*{_PACKAGE_NAME}\s*为什么(?:会|还|这么)?(?:晚|迟|延误|延迟|没到)\S{{0,3}}",
            "investigate_package",
        ),
        (
            rf"^{_CHINESE_NOUN}\s*{_PACKAGE_NAME}\s*(?:什么时候|何时)(?:能|会)?(?:到|送到|送达|到达)",
            "predict_package",
        ),
        (
            rf"^{_CHINESE_NOUN}\s*{_PACKAGE_NAME}\s*(?:现在)?(?:在|到)(?:哪里|哪儿|哪)了?",
            "get_package",
        ),
    )
)


def match_package_request(request: str) -> PlannedToolCall | None:
    """Return the call that a question about packages needs, or None."""
    for pattern, tool, arguments in _PACKAGE_REQUESTS:
        if match := pattern.search(request):
            return _plan(tool, match["name"], arguments)
    for pattern, tool in _CHINESE_REQUESTS:
        if match := pattern.search(request):
            return _plan(tool, match["name"], {})
    name = _NAME.search(request)
    reference = None if name else _REFERENCE.search(request)
    match = name or reference
    text = request if match is None else f"{request[: match.start()]} {request[match.end() :]}"
    words = _split_words(text)
    for language, all_words in zip(_LANGUAGES, _ALL_WORDS, strict=True):
        if not words <= all_words:
            continue
        has_noun = _has_any(words, language.nouns)
        if match is None:
            found = _choose_packages(words, language) if has_noun else None
            if found is not None:
                return PlannedToolCall("find_packages", found)
        elif name or has_noun:
            chosen = _choose_tool(words, language)
            if chosen is not None:
                return _plan(chosen, match["name"], {})
    return None


def _plan(tool: str, name: str, arguments: dict[str, Any]) -> PlannedToolCall:
    return PlannedToolCall(tool, {"package": name} | arguments)


def _split_words(text: str) -> set[str]:
    text = " ".join(_MARKS.sub(" ", text.casefold()).split())
    return set(_PHRASES.sub(lambda match: match.group().replace(" ", "_"), text).split())


def _has_any(words: set[str], given: str) -> bool:
    return not words.isdisjoint(given.split())


def _choose_tool(words: set[str], language: _Words) -> str | None:
    if _has_any(words, language.reasons):
        return "investigate_package"
    if _has_any(words, language.times):
        return "predict_package"
    asks = _has_any(words, f"{language.places} {language.nouns} {language.late}")
    return "get_package" if asks else None


def _choose_packages(words: set[str], language: _Words) -> dict[str, Any] | None:
    """Return the arguments that find the late packages, or all if their number is asked for."""
    if _has_any(words, language.reasons) or _has_any(words, language.times):
        return None
    if _has_any(words, language.late):
        asks = _has_any(words, f"{language.choices} {language.counts}")
        return {"late": True} if asks else None
    return {} if _has_any(words, language.counts) else None
