"""Small talk is answered as such, in its language; what asks for something is not small talk."""

import pytest

from backend.services.agent.domain.small_talk import small_talk


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("hi", "Hello."),
        ("Hello there!", "Hello."),
        ("hello, who are you?", "built-in assistant"),
        ("What can you do?", "built-in assistant"),
        ("Thank you very much, that helped", "You are welcome."),
        ("ok", "Good."),
        ("Are you ChatGPT?", "no large language model"),
        ("how do I upload a document?", "/rag/documents"),
        ("tell me a joke", "I cannot make things up"),
        ("translate the first paragraph to German", "I cannot make things up"),
        ("?", "Ask me something"),
        ("Guten Morgen!", "Hallo."),
        ("Was kannst du?", "Dokumenten"),
        ("merci beaucoup", "Je vous en prie."),
        ("¿Qué puedes hacer?", "asistente"),
        ("ciao", "Ciao."),
    ],
)
def test_it_is_answered_in_its_language(said, answer):
    assert answer in small_talk(said)


@pytest.mark.parametrize(
    "request_text",
    [
        "hello world is printed by which program?",
        "thanks for the contract, when does it end?",
        "what can you do with a drill?",
        "help desk opening hours",
        "hi " * 60,
        "",
    ],
)
def test_a_request_is_none(request_text):
    assert small_talk(request_text) is None
