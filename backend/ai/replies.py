"""Fixed sentences of answers without a language model, in the language of the question."""

# ruff: noqa: RUF001 - non-Latin letters are intended
from collections.abc import Mapping
from enum import Enum
from typing import Final

from backend.ai.text.languages import detect_language

_DEFAULT_LANGUAGE: Final = "en"


class Reply(Enum):
    """An outcome that an answer states. *{detail}* is replaced by an English message."""

    NOTHING_FOUND = "nothing_found"
    NO_ANSWER = "no_answer"
    NO_TOOL = "no_tool"
    CANNOT_CALCULATE = "cannot_calculate"
    TOOL_FAILED = "tool_failed"


_SENTENCES: Final[Mapping[Reply, Mapping[str, str]]] = {
    Reply.NOTHING_FOUND: {
        "en": "I found nothing about that in your documents.",
        "de": "Dazu habe ich in deinen Dokumenten nichts gefunden.",
        "es": "No he encontrado nada sobre eso en tus documentos.",
        "fr": "Je n'ai rien trouvé à ce sujet dans vos documents.",
        "it": "Non ho trovato nulla al riguardo nei tuoi documenti.",
        "pt": "Não encontrei nada sobre isso nos seus documentos.",
        "nl": "Ik heb daarover niets gevonden in je documenten.",
        "ru": "В ваших документах об этом ничего не найдено.",
        "zh": "在你的文档中没有找到相关内容。",
        "ar": "لم أجد شيئا عن ذلك في مستنداتك.",
        "el": "Δεν βρήκα τίποτα σχετικό στα έγγραφά σας.",
        "hi": "आपके दस्तावेज़ों में इसके बारे में कुछ नहीं मिला।",
        "ro": "Nu am găsit nimic despre asta în documentele tale.",
        "th": "ไม่พบข้อมูลเกี่ยวกับเรื่องนี้ในเอกสารของคุณ",
        "tr": "Belgelerinizde bununla ilgili bir şey bulamadım.",
        "vi": "Tôi không tìm thấy gì về điều đó trong tài liệu của bạn.",
    },
    Reply.NO_ANSWER: {
        "en": "The documents you can read say nothing about this.",
        "de": "Die Dokumente, die du lesen kannst, sagen dazu nichts.",
        "es": "Los documentos que puedes leer no dicen nada al respecto.",
        "fr": "Les documents que vous pouvez lire n'en disent rien.",
        "it": "I documenti che puoi leggere non dicono nulla al riguardo.",
        "pt": "Os documentos que pode ler não dizem nada sobre isso.",
        "nl": "De documenten die je kunt lezen zeggen hier niets over.",
        "ru": "В доступных вам документах об этом ничего не сказано.",
        "zh": "你可以阅读的文档中没有提到这一点。",
        "ar": "المستندات التي يمكنك قراءتها لا تذكر شيئا عن هذا.",
        "el": "Τα έγγραφα που μπορείτε να διαβάσετε δεν λένε τίποτα γι' αυτό.",
        "hi": "आप जो दस्तावेज़ पढ़ सकते हैं, उनमें इसके बारे में कुछ नहीं लिखा है।",
        "ro": "Documentele pe care le poți citi nu spun nimic despre asta.",
        "th": "เอกสารที่คุณอ่านได้ไม่ได้กล่าวถึงเรื่องนี้",
        "tr": "Okuyabildiğiniz belgelerde bununla ilgili bir şey yok.",
        "vi": "Các tài liệu bạn có thể đọc không nói gì về điều này.",
    },
    Reply.NO_TOOL: {
        "en": "I can only answer from documents and tools, and no tool fits this request.",
        "de": "Ich kann nur aus Dokumenten und mit Werkzeugen antworten, und kein Werkzeug passt zu"
        " dieser Anfrage.",
        "es": "Solo puedo responder a partir de documentos y herramientas, y ninguna herramienta"
        " sirve para esta petición.",
        "ru": "Я отвечаю только по документам и с помощью инструментов; для этого запроса"
        " подходящего инструмента нет.",
        "zh": "我只能根据文档和工具回答，没有适合这个请求的工具。",
        "ar": "لا يمكنني الإجابة إلا من المستندات والأدوات، ولا توجد أداة مناسبة لهذا الطلب.",
    },
    Reply.CANNOT_CALCULATE: {
        "en": "I cannot calculate this. {detail}",
        "de": "Das kann ich nicht berechnen. {detail}",
        "es": "No puedo calcular esto. {detail}",
        "ru": "Это не удаётся вычислить. {detail}",
        "zh": "无法计算。{detail}",
        "ar": "لا يمكنني حساب ذلك. {detail}",
    },
    Reply.TOOL_FAILED: {
        "en": "I could not do this. {detail}",
        "de": "Das ist nicht gelungen. {detail}",
        "es": "No he podido hacerlo. {detail}",
        "ru": "Это не удалось сделать. {detail}",
        "zh": "无法完成此操作。{detail}",
        "ar": "لم أتمكن من القيام بذلك. {detail}",
    },
}


def get_reply(reply: Reply, request: str) -> str:
    """Return the sentence of *reply* in the language of *request*, or else in English."""
    sentences = _SENTENCES[reply]
    return sentences.get(detect_language(request), sentences[_DEFAULT_LANGUAGE])


def is_refusal(text: str) -> bool:
    """Return True if *text* states, in any language, that there is no answer."""
    return text in _REFUSALS


_REFUSALS: Final = frozenset(
    sentence
    for reply in (Reply.NOTHING_FOUND, Reply.NO_ANSWER)
    for sentence in _SENTENCES[reply].values()
)
