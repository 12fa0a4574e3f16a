"""Answers to small talk: greetings, thanks, and questions about the assistant itself.

The answers are in the language of the request: English, German, French, Spanish, Italian, Russian,
Chinese or Arabic; greetings, thanks and goodbyes also in Portuguese, Dutch, Japanese, Korean, Thai,
Greek, Hindi, Romanian, Turkish or Vietnamese.
"""

# ruff: noqa: RUF001 - non-Latin letters are intended
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_ABILITY_ANSWERS: Final = {
    "en": "I am the built-in assistant. I answer from your documents and show the source of each "
    "sentence, list and read them, save notes, calculate, and tell the time anywhere. Upload a "
    "document and ask about it.",
    "de": "Ich bin der eingebaute Assistent. Ich antworte aus deinen Dokumenten und zeige, wo "
    "jeder Satz steht, liste und lese sie, rechne und weiß, wie spät es ist. Lade ein Dokument "
    "hoch und frag danach.",
    "fr": "Je suis l'assistant intégré. Je réponds à partir de vos documents en montrant d'où "
    "vient chaque phrase, je les liste et les lis, je calcule et je donne l'heure. Ajoutez un "
    "document et posez une question.",
    "es": "Soy el asistente integrado. Respondo a partir de tus documentos y muestro de dónde sale "
    "cada frase, los enumero y los leo, calculo y digo la hora. Sube un documento y pregunta.",
    "it": "Sono l'assistente integrato. Rispondo dai tuoi documenti e mostro da dove viene ogni "
    "frase, li elenco e li leggo, calcolo e dico l'ora. Carica un documento e fai una domanda.",
    "ru": "Я встроенный помощник. Отвечаю по вашим документам и показываю источник каждого "
    "предложения, перечисляю и читаю их, считаю и сообщаю время. Загрузите документ и спросите.",
    "zh": "我是内置助手。我根据你的文档回答，并标出每句话的出处；我可以列出和阅读文档、计算、报时。"
    "请上传文档后提问。",
    "ar": "أنا المساعد المدمج. أجيب من مستنداتك وأذكر مصدر كل جملة، وأعرضها وأقرؤها، وأحسب وأخبرك "
    "بالوقت. أضف مستندا ثم اسأل عنه.",
}
_GREETING_ANSWERS: Final = {
    "en": "Hello. Ask me something about your documents.",
    "de": "Hallo. Frag mich etwas zu deinen Dokumenten.",
    "fr": "Bonjour. Posez-moi une question sur vos documents.",
    "es": "Hola. Pregúntame algo sobre tus documentos.",
    "it": "Ciao. Chiedimi qualcosa sui tuoi documenti.",
    "pt": "Olá. Pergunte-me algo sobre os seus documentos.",
    "nl": "Hallo. Vraag me iets over je documenten.",
    "ru": "Здравствуйте. Спросите меня о ваших документах.",
    "zh": "你好。请就你的文档向我提问。",
    "ja": "こんにちは。文書について質問してください。",
    "ko": "안녕하세요. 문서에 대해 질문해 주세요.",
    "th": "สวัสดี ถามเกี่ยวกับเอกสารของคุณได้เลย",
    "ar": "مرحبا. اسألني عن مستنداتك.",
    "el": "Γεια σας. Ρωτήστε με κάτι για τα έγγραφά σας.",
    "hi": "नमस्ते। अपने दस्तावेज़ों के बारे में कुछ पूछिए।",
    "ro": "Bună. Întreabă-mă ceva despre documentele tale.",
    "tr": "Merhaba. Belgeleriniz hakkında bir şey sorun.",
    "vi": "Xin chào. Hãy hỏi tôi về tài liệu của bạn.",
}
_THANKS_ANSWERS: Final = {
    "en": "You are welcome.",
    "de": "Gern geschehen.",
    "fr": "Je vous en prie.",
    "es": "De nada.",
    "it": "Prego.",
    "pt": "De nada.",
    "nl": "Graag gedaan.",
    "ru": "Пожалуйста.",
    "zh": "不客气。",
    "ja": "どういたしまして。",
    "ko": "천만에요.",
    "th": "ด้วยความยินดี",
    "ar": "على الرحب والسعة.",
    "el": "Παρακαλώ.",
    "hi": "आपका स्वागत है।",
    "ro": "Cu plăcere.",
    "tr": "Rica ederim.",
    "vi": "Không có gì.",
}
_GOODBYE_ANSWERS: Final = {
    "en": "Goodbye.",
    "de": "Auf Wiedersehen.",
    "fr": "Au revoir.",
    "es": "Adiós.",
    "it": "Arrivederci.",
    "pt": "Até logo.",
    "nl": "Tot ziens.",
    "ru": "До свидания.",
    "zh": "再见。",
    "ja": "さようなら。",
    "ko": "안녕히 가세요.",
    "th": "ลาก่อน",
    "ar": "مع السلامة.",
    "el": "Αντίο.",
    "hi": "अलविदा।",
    "ro": "La revedere.",
    "tr": "Hoşça kalın.",
    "vi": "Tạm biệt.",
}
_STATE_ANSWERS: Final = {
    "en": "Ready to answer. Ask me something about your documents.",
    "de": "Bereit. Frag mich etwas zu deinen Dokumenten.",
    "fr": "Prêt à répondre. Posez-moi une question sur vos documents.",
    "es": "Listo. Pregúntame algo sobre tus documentos.",
    "it": "Pronto. Chiedimi qualcosa sui tuoi documenti.",
    "ru": "Готов отвечать. Спросите меня о ваших документах.",
    "zh": "我准备好了。请就你的文档向我提问。",
    "ar": "أنا جاهز. اسألني عن مستنداتك.",
}
_IDENTITY_ANSWER: Final = (
    "I am the built-in assistant of this system. I am not a large language model: I find and quote "
    "the sentences of your documents that answer your question. Your administrator can add a "
    "language model."
)
_UPLOAD_ANSWER: Final = (
    "Add documents under /rag/documents: POST the file as the form field `file`. As soon as it is "
    "processed, I can answer from it."
)
_WRITING_ANSWER: Final = (
    "I cannot write texts: I only quote your documents, calculate and tell the time. A language "
    "model that your administrator sets up can do that."
)
_CONFIRMATION_ANSWER: Final = "Good. What would you like to know from your documents?"
_CONFIRMATION_ANSWERS: Final = {
    "de": "Gut. Was möchtest du aus deinen Dokumenten wissen?",
    "es": "Bien. ¿Qué quieres saber de tus documentos?",
    "ru": "Хорошо. Что вы хотите узнать из ваших документов?",
    "zh": "好的。你想从文档中了解什么？",
    "ar": "حسنا. ماذا تريد أن تعرف من مستنداتك؟",
}
_CONFIRMATION_PATTERNS: Final = {
    "de": r"in ordnung|alles klar|verstanden|ja|nein|genau|prima",
    "es": r"de acuerdo|entendido|perfecto|sí|claro",
    "ru": r"хорошо|ладно|понятно|да|нет|отлично|ясно|понял[аи]?",
    "zh": r"好的?|好吧|明白了?|知道了|是的?|不是|行|可以|没问题",
    "ar": r"حسنا|تمام|نعم|لا|فهمت|ممتاز|موافق",
}
_WRITING_ANSWERS: Final = {
    "de": "Ich kann keine Texte schreiben: Ich zitiere nur deine Dokumente, rechne und nenne die "
    "Uhrzeit. Ein Sprachmodell, das dein Administrator einrichtet, kann das.",
    "es": "No puedo escribir textos: solo cito tus documentos, calculo y digo la hora. Un modelo "
    "de lenguaje que configure tu administrador puede hacerlo.",
    "ru": "Я не пишу тексты: только цитирую ваши документы, считаю и сообщаю время. Это может "
    "языковая модель, которую настроит администратор.",
    "zh": "我不能写作：我只引用你的文档、计算和报时。管理员可以配置能写作的语言模型。",
    "ar": "لا أستطيع كتابة النصوص: أقتبس من مستنداتك وأحسب وأخبرك بالوقت فقط. يمكن لنموذج "
    "لغوي يضيفه المسؤول أن يفعل ذلك.",
}
_WRITING_PATTERNS: Final = {
    "de": r"(?:bitte )?(?:erzähl|schreib|dichte|erfinde|übersetze?)(?:e|st)?(?: mir| du)? .{1,60}",
    "es": r"(?:por favor )?(?:cuéntame|escribe|escríbeme|inventa|traduce|tradúceme) .{1,60}",
    "ru": r"(?:пожалуйста )?(?:расскажи|напиши|сочини|придумай|переведи)(?:те)?(?: мне)? .{1,60}",
    "zh": r"(?:请|给我|帮我)+(?:讲|写|编|翻译).{1,30}|[讲写编]一?[个首篇].{1,30}",
    "ar": r"(?:من فضلك )?(?:اكتب|احك|ألف|ترجم)(?: لي)? .{1,60}",
}


@dataclass(frozen=True, slots=True)
class _Phrase:
    """A pattern that a complete request must match, and the answer."""

    pattern: re.Pattern[str]
    answer: str


def _create_phrase(pattern: str, answer: str) -> _Phrase:
    return _Phrase(re.compile(pattern, re.IGNORECASE), answer)


_GREETING_PATTERNS: Final = {
    "en": r"hi+|hey+|hello+|hiya|howdy|yo|greetings|good (?:morning|afternoon|evening|day)",
    "de": r"hallo|guten (?:morgen|tag|abend)|moin|servus|grüß (?:gott|dich)",
    "fr": r"bonjour|bonsoir|salut|coucou",
    "es": r"hola|buen(?:os|as) (?:d[ií]as|tardes|noches)",
    "it": r"ciao|buongiorno|buonasera|salve",
    "pt": r"ol[áa]|bom dia|boa (?:tarde|noite)",
    "nl": r"hoi|goede(?:morgen|middag|navond|ndag)",
    "ru": r"привет(?:ик)?|здравствуй(?:те)?|добр(?:ый (?:день|вечер)|ое утро)",
    "zh": r"[你您]好[吗嗎]?|嗨|早上好|下午好|晚上好|早安|大家好",
    "ja": r"こんにち[はわ]|こんばん[はわ]|おはよう(?:ございます)?|はじめまして|やあ",
    "ko": r"안녕(?:하세요|하십니까)?|반갑습니다|여보세요",
    "th": r"(?:สวัสดี|หวัดดี)(?:ตอนเช้า)?(?:ครับ|ค่ะ|คะ)?",
    "ar": r"مرحبا|أهلا(?: وسهلا)?|اهلا(?: وسهلا)?|السلام عليكم|صباح الخير|مساء الخير|هلا",
    "el": r"γεια(?: σ(?:ου|ας))?|καλημέρα|καλησπέρα|χαίρετε",
    "hi": r"नमस्ते|नमस्कार|हैलो|सुप्रभात",
    "ro": r"bună(?: (?:ziua|dimineața|seara))?|buna(?: ziua| seara)?|salut|noroc",
    "tr": r"merhaba(?:lar)?|selam|günaydın|iyi (?:günler|akşamlar)",
    "vi": r"(?:xin )?chào(?: bạn| anh| chị)?",
}
_THANKS_PATTERNS: Final = {
    "en": r"(?:many )?thanks?|thank you|thx|cheers|much appreciated",
    "de": r"danke|vielen dank",
    "fr": r"merci",
    "es": r"(?:muchas )?gracias",
    "it": r"grazie",
    "pt": r"(?:muito )?obrigad[oa]",
    "nl": r"(?:dank|bedankt)(?: je| u)?(?: wel)?|dankjewel",
    "ru": r"(?:большое )?спасибо(?: большое)?|благодарю",
    "zh": r"(?:多|非常)?(?:谢谢|謝謝|感谢|感謝)[你您]?",
    "ja": r"(?:どうも)?ありがとう(?:ございま(?:す|した))?|どうも",
    "ko": r"(?:감사|고맙)(?:합니다|습니다|해요)|고마워요?",
    "th": r"ขอบคุณ(?:มาก)?(?:ครับ|ค่ะ|คะ)?",
    "ar": r"شكرا(?: جزيلا| لك| لكم)?|أشكرك|مشكور",
    "el": r"ευχαριστώ(?: πολύ)?|σας ευχαριστώ",
    "hi": r"(?:बहुत )?(?:धन्यवाद|शुक्रिया)",
    "ro": r"mulțumesc(?: mult)?|multumesc|mersi",
    "tr": r"teşekkür(?:ler| ederim)?|sağ ?ol(?:un)?",
    "vi": r"(?:xin )?cảm ơn(?: bạn| nhiều| rất nhiều)?",
}
_GOODBYE_PATTERNS: Final = {
    "en": r"(?:good ?)?bye(?: bye)?|see you(?: later| soon)?|good night|farewell",
    "de": r"tschüss|auf wiedersehen|bis (?:bald|morgen)|gute nacht",
    "fr": r"au revoir|à bientôt|bonne nuit",
    "es": r"adi[oó]s|hasta (?:luego|pronto|mañana)",
    "it": r"arrivederci|a presto|buonanotte",
    "pt": r"tchau|adeus|até (?:logo|amanhã|breve)",
    "nl": r"tot (?:ziens|straks|morgen)|dag|doei",
    "ru": r"пока|до (?:свидания|встречи)|спокойной ночи",
    "zh": r"再[见見]|拜拜|晚安",
    "ja": r"さようなら|さよなら|またね|おやすみ(?:なさい)?",
    "ko": r"안녕히 (?:가|계|주무)세요|잘 가요?",
    "th": r"ลาก่อน(?:ครับ|ค่ะ|คะ)?",
    "ar": r"مع السلامة|وداعا|إلى اللقاء|الى اللقاء|تصبح على خير",
    "el": r"αντίο|τα λέμε|καληνύχτα",
    "hi": r"अलविदा|फिर मिलेंगे|शुभ रात्रि",
    "ro": r"la revedere|pa|noapte bună",
    "tr": r"hoşça ?kal(?:ın)?|güle güle|görüşürüz|iyi geceler",
    "vi": r"tạm biệt|hẹn gặp lại|chúc ngủ ngon",
}
_ABILITY_PATTERNS: Final = {
    "en": r"what (?:can|do|could) you (?:do|help(?: me)?(?: with)?|know|offer|answer)"
    r"|what are you (?:able|good) .{0,30}"
    r"|how (?:can|do|could) (?:you|i) (?:help|use|start|work).{0,30}"
    r"|how does (?:this|it|that) work|what is this|what are your (?:abilities|capabilities|skills)"
    r"|(?:can|could) you help(?: me)?|help(?: me)?|i need help|who are you|what are you"
    r"|(?:tell me about|introduce) yourself|what can i (?:ask|do)(?: you| here)?"
    r"|get(?:ting)? started",
    "de": r"was kannst du.{0,20}|was können sie.{0,20}|hilfe|wer bist du|was bist du"
    r"|kannst du mir helfen|wie funktioniert (?:das|es)",
    "fr": r"(?:que|qu'est-ce que) (?:peux-tu|pouvez-vous|tu peux|vous pouvez).{0,20}|aide"
    r"|qui (?:es-tu|êtes-vous)|comment ça marche",
    "es": r"¿?qu[eé] puedes? hacer.{0,20}|ayuda|¿?qui[eé]n eres|¿?c[oó]mo funciona (?:esto)?",
    "it": r"cosa (?:puoi|sai) fare.{0,20}|aiuto|chi sei|come funziona",
    "ru": r"что ты (?:умеешь|можешь)(?: делать)?|что вы (?:умеете|можете)(?: делать)?"
    r"|помощь|помоги(?:те)?|кто (?:ты|вы)(?: такой)?"
    r"|как (?:это|ты) работает(?:шь)?|чем (?:ты )?можешь помочь",
    "zh": r"你(?:能|会|可以)(?:做|干)?(?:什么|些什么|啥)|你(?:能|可以)帮我(?:做什么|吗)?"
    r"|帮助|帮帮我|你是谁|怎么用|如何使用",
    "ar": r"(?:ماذا|ما الذي) (?:تستطيع|يمكنك)(?: أن)?(?: تفعل| فعله)?"
    r"|مساعدة|ساعدني|من أنت|من انت|كيف تعمل",
}
_STATE_PATTERNS: Final = {
    "en": r"how are you(?: doing)?(?: today)?|how is it going|what's up|sup",
    "de": r"wie geht(?:'s| es)(?: dir| ihnen)?",
    "fr": r"(?:comment )?ça va|comment (?:vas-tu|allez-vous)",
    "es": r"¿?c[oó]mo est[aá]s?|¿?qu[eé] tal",
    "it": r"come (?:stai|sta|va)",
    "ru": r"как (?:дела|ты|вы|поживаешь|поживаете)",
    "zh": r"你?(?:好吗|最近怎么样|怎么样)",
    "ar": r"كيف حالك|كيف الحال",
}
_TAIL_PATTERN: Final = (
    r"(?: (?:there|again|you|all|everyone|so much|very much|a lot|a bunch|assistant|schön|sehr|"
    r"beaucoup|mille))*"
)


def _create_phrases() -> list[_Phrase]:
    phrases = []
    for patterns, answers in (
        (_GREETING_PATTERNS, _GREETING_ANSWERS),
        (_THANKS_PATTERNS, _THANKS_ANSWERS),
        (_GOODBYE_PATTERNS, _GOODBYE_ANSWERS),
        (_ABILITY_PATTERNS, _ABILITY_ANSWERS),
        (_STATE_PATTERNS, _STATE_ANSWERS),
        (_CONFIRMATION_PATTERNS, _CONFIRMATION_ANSWERS),
        (_WRITING_PATTERNS, _WRITING_ANSWERS),
    ):
        phrases += [
            _create_phrase(f"(?:{pattern}){_TAIL_PATTERN}", answers[language])
            for language, pattern in patterns.items()
        ]
    return [
        *phrases,
        _create_phrase(
            r"(?:are you|is this) (?:an? )?(?:chat ?gpt|gpt.{0,4}|claude|gemini|llama|ai|bot|human|"
            r"robot|real|language model|llm).{0,20}|(?:which|what) (?:language |ai )?model .{0,20}"
            r"|what(?:'s| is) your name|who (?:made|built|created|trained) you",
            _IDENTITY_ANSWER,
        ),
        _create_phrase(
            r"how (?:do|can|should) i (?:upload|add|import|send|attach) .{0,30}"
            r"(?:documents?|files?|pdfs?|something).{0,20}",
            _UPLOAD_ANSWER,
        ),
        _create_phrase(
            r"(?:please )?(?:tell|write|sing|make up|invent) (?:me )?(?:an? |another )?(?:short )?"
            r"(?:joke|poem|story|song|haiku|riddle).{0,40}",
            _WRITING_ANSWER,
        ),
        _create_phrase(
            r"(?:please )?(?:translate|rewrite|rephrase|paraphrase|proofread|draft) .{1,60}",
            _WRITING_ANSWER,
        ),
        _create_phrase(
            r"ok(?:ay)?|great|cool|nice|fine|perfect|good|awesome|alright|all right|got it"
            r"|i see|yes|no|yep|nope|sure|wow|sounds (?:good|great)"
            r"|super|gut|bien|vale|va bene|d'accord",
            _CONFIRMATION_ANSWER,
        ),
    ]


_PHRASES: Final = _create_phrases()
_MAX_CHARACTERS: Final = 80
_MAX_CACHED_REQUESTS: Final = 128


def answer_small_talk(request: str) -> str | None:
    """Return the answer to *request* if it consists of small talk, or None.

    If it has several parts, as in "hello, who are you?", the last part is answered.
    """
    return None if len(request) > _MAX_CHARACTERS else _answer_short_request(request)


# A request and its parts are matched several times while its tool calls are chosen.
@lru_cache(_MAX_CACHED_REQUESTS)
def _answer_short_request(request: str) -> str | None:
    if request and not re.search(r"\w", request):
        return _GREETING_ANSWERS["en"]
    parts = [part.strip(" ¡¿") for part in re.split(r"[,.!?;…，、。！？；؟،।]+", request)]
    answers = [_answer_part(part) for part in parts if part]
    if not answers or answers[-1] is None:
        # In "Thank you, that helped a lot", only the first part is relevant.
        thanks = answers[0] if answers and answers[0] in _THANKS_ANSWERS.values() else None
        return thanks if re.search(r"\bhelp(?:s|ed|ful)\b", request) else None
    return answers[-1] if None not in answers else None


def _answer_part(part: str) -> str | None:
    return next((phrase.answer for phrase in _PHRASES if phrase.pattern.fullmatch(part)), None)
