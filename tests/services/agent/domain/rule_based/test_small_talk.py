"""Tests of the answers to small talk."""
# ruff: noqa: RUF001 - non-Latin letters are intended

import pytest

from backend.services.agent.domain.rule_based.small_talk import answer_small_talk


@pytest.mark.parametrize(
    ("request_text", "answer"),
    [
        ("hi", "Hello."),
        ("Hello there!", "Hello."),
        ("hello, who are you?", "built-in assistant"),
        ("What can you do?", "built-in assistant"),
        ("Thank you very much, that helped", "You are welcome."),
        ("ok", "Good."),
        ("Are you ChatGPT?", "not a large language model"),
        ("how do I upload a document?", "/rag/documents"),
        ("tell me a joke", "I cannot write texts"),
        ("translate the first paragraph to German", "I cannot write texts"),
        ("?", "Ask me something"),
        ("Guten Morgen!", "Hallo."),
        ("Was kannst du?", "Dokumenten"),
        ("merci beaucoup", "Je vous en prie."),
        ("¿Qué puedes hacer?", "asistente"),
        ("ciao", "Ciao."),
        ("Olá!", "Olá."),
        ("Goedemorgen", "Hallo."),
        ("Привет", "Здравствуйте."),
        ("Добрый день! Спасибо!", "Пожалуйста."),
        ("你好", "你好。"),
        ("谢谢！", "不客气。"),
        ("こんにちは。", "こんにちは。"),
        ("ありがとうございます", "どういたしまして。"),
        ("안녕하세요", "안녕하세요."),
        ("สวัสดีครับ", "สวัสดี"),
        ("مرحبا", "مرحبا."),
        ("شكرا جزيلا", "على الرحب والسعة."),
        ("Что ты умеешь?", "встроенный помощник"),
        ("你能做什么？", "内置助手"),
        ("ماذا يمكنك أن تفعل؟", "المساعد المدمج"),
        ("как дела?", "Готов отвечать."),
        ("Alles klar", "Gut."),
        ("给我讲一个笑话", "不能写作"),
        ("Bună ziua!", "Bună."),
        ("Günaydın", "Merhaba."),
        ("xin chào", "Xin chào."),
        ("Καλημέρα", "Γεια σας."),
        ("नमस्ते", "नमस्ते।"),
    ],
)
def test_small_talk_is_answered_in_its_language(request_text, answer):
    assert answer in answer_small_talk(request_text)


@pytest.mark.parametrize(
    "request_text",
    [
        "hello world is printed by which program?",
        "thanks for the contract, when does it end?",
        "what can you do with a drill?",
        "help desk opening hours",
        "你好公司的电话是多少？",
        "Привет из какого города?",
        "hi " * 60,
        "",
    ],
)
def test_other_requests_are_not_small_talk(request_text):
    assert answer_small_talk(request_text) is None
