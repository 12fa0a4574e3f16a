"""Fixed sentences of the agent in voice messages and calls, in the language of the contact."""

# ruff: noqa: RUF001 - non-Latin letters are intended
from collections.abc import Mapping
from typing import Final, Literal

Notice = Literal["not_understood", "greeting", "not_heard", "handed_over", "unavailable"]

_TEXTS: Final[Mapping[str, Mapping[Notice, str]]] = {
    "en": {
        "not_understood": "I could not understand your voice message. A colleague will read your "
        "messages and answer you.",
        "greeting": "Hello. How can I help you?",
        "not_heard": "I did not hear you. Please say that again.",
        "handed_over": "A colleague will answer you. Goodbye.",
        "unavailable": "I cannot answer right now. Please call again later.",
    },
    "de": {
        "not_understood": "Ich konnte Ihre Sprachnachricht nicht verstehen. Eine Kollegin oder ein "
        "Kollege liest Ihre Nachrichten und antwortet Ihnen.",
        "greeting": "Guten Tag. Wie kann ich Ihnen helfen?",
        "not_heard": "Ich habe Sie nicht gehört. Bitte sagen Sie es noch einmal.",
        "handed_over": "Eine Kollegin oder ein Kollege antwortet Ihnen. Auf Wiederhören.",
        "unavailable": "Ich kann gerade nicht antworten. Bitte rufen Sie später noch einmal an.",
    },
    "fr": {
        "not_understood": "Je n'ai pas compris votre message vocal. Un collègue lira vos messages "
        "et vous répondra.",
        "greeting": "Bonjour. Comment puis-je vous aider ?",
        "not_heard": "Je ne vous ai pas entendu. Veuillez répéter.",
        "handed_over": "Un collègue vous répondra. Au revoir.",
        "unavailable": "Je ne peux pas répondre pour le moment. Veuillez rappeler plus tard.",
    },
    "es": {
        "not_understood": "No he podido entender su mensaje de voz. Un compañero leerá sus "
        "mensajes y le responderá.",
        "greeting": "Hola. ¿En qué puedo ayudarle?",
        "not_heard": "No le he oído. Por favor, repítalo.",
        "handed_over": "Un compañero le responderá. Adiós.",
        "unavailable": "Ahora no puedo responder. Por favor, llame más tarde.",
    },
    "it": {
        "not_understood": "Non ho capito il suo messaggio vocale. Un collega leggerà i suoi "
        "messaggi e le risponderà.",
        "greeting": "Buongiorno. Come posso aiutarla?",
        "not_heard": "Non l'ho sentita. Per favore, ripeta.",
        "handed_over": "Un collega le risponderà. Arrivederci.",
        "unavailable": "Al momento non posso rispondere. Richiami più tardi.",
    },
    "pt": {
        "not_understood": "Não consegui entender a sua mensagem de voz. Um colega lerá as suas "
        "mensagens e responderá.",
        "greeting": "Olá. Como posso ajudar?",
        "not_heard": "Não ouvi. Por favor, repita.",
        "handed_over": "Um colega responderá. Até logo.",
        "unavailable": "Não posso responder agora. Por favor, ligue mais tarde.",
    },
    "nl": {
        "not_understood": "Ik kon uw spraakbericht niet verstaan. Een collega leest uw berichten "
        "en antwoordt u.",
        "greeting": "Hallo. Hoe kan ik u helpen?",
        "not_heard": "Ik heb u niet gehoord. Wilt u dat herhalen?",
        "handed_over": "Een collega antwoordt u. Tot ziens.",
        "unavailable": "Ik kan nu niet antwoorden. Bel later nog eens.",
    },
    "pl": {
        "not_understood": "Nie udało mi się zrozumieć wiadomości głosowej. Odpowie na nią "
        "pracownik.",
        "greeting": "Dzień dobry. W czym mogę pomóc?",
        "not_heard": "Nic nie słychać. Proszę powtórzyć.",
        "handed_over": "Odpowie pracownik. Do widzenia.",
        "unavailable": "Teraz nie mogę odpowiedzieć. Proszę zadzwonić później.",
    },
    "tr": {
        "not_understood": "Sesli mesajınızı anlayamadım. Bir çalışanımız mesajlarınızı okuyup size "
        "yanıt verecek.",
        "greeting": "Merhaba. Size nasıl yardımcı olabilirim?",
        "not_heard": "Sizi duyamadım. Lütfen tekrar edin.",
        "handed_over": "Bir çalışanımız size yanıt verecek. Hoşça kalın.",
        "unavailable": "Şu anda yanıt veremiyorum. Lütfen daha sonra arayın.",
    },
    "ru": {
        "not_understood": "Мне не удалось разобрать голосовое сообщение. На него ответит "
        "сотрудник.",
        "greeting": "Здравствуйте. Чем могу помочь?",
        "not_heard": "Вас не слышно. Пожалуйста, повторите.",
        "handed_over": "Вам ответит сотрудник. До свидания.",
        "unavailable": "Сейчас ответить нельзя. Пожалуйста, позвоните позже.",
    },
    "ar": {
        "not_understood": "لم أتمكن من فهم رسالتك الصوتية. سيقرأ أحد الزملاء رسائلك ويرد عليك.",
        "greeting": "مرحبًا. كيف يمكنني مساعدتك؟",
        "not_heard": "لم أسمعك. من فضلك كرر ما قلته.",
        "handed_over": "سيرد عليك أحد الزملاء. إلى اللقاء.",
        "unavailable": "لا يمكنني الرد الآن. من فضلك اتصل لاحقًا.",
    },
    "zh": {
        "not_understood": "我没能听懂您的语音消息。同事会阅读您的消息并回复您。",
        "greeting": "您好。请问有什么可以帮您？",
        "not_heard": "没有听到您的声音。请再说一遍。",
        "handed_over": "同事会回复您。再见。",
        "unavailable": "现在无法回答。请稍后再打来。",
    },
}


def get_notice(notice: Notice, language: str) -> str:
    """Return a sentence in *language*, such as `de` or `de-AT`, or in English."""
    texts = _TEXTS.get(language.partition("-")[0].lower()) or _TEXTS["en"]
    return texts[notice]
