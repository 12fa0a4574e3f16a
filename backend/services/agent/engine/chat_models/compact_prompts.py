"""Prompts for small models: few tokens, and the constant part first.

A model follows the name of a language more reliably than "the language of the question".
"""

import json
from collections.abc import Sequence
from typing import Final

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from backend.ai.prompt_framing import frame_untrusted_text
from backend.ai.text.languages import detect_language
from backend.ai.text.token_estimates import estimate_tokens
from backend.services.agent.engine.chat_models.planner import OfferedTool
from backend.services.agent.engine.prompts import (
    ANSWER_FROM_PASSAGES,
    CHOOSE_TOOL,
    CLASSIFY_REQUEST,
    SUMMARIZE_DOCUMENT,
    SUMMARIZE_PART,
    SYSTEM_PROMPT,
    WRITE_TEXT,
)
from backend.services.agent.model import Chunk

# Tokens of the passages of one question. With the constant part, the frame and the question, a
# prompt stays below 600 tokens.
MAX_PASSAGE_TOKENS: Final = 260
# The same for a text about documents, which needs more of them.
MAX_WRITING_PASSAGE_TOKENS: Final = 360
_MAX_QUESTION_CHARACTERS: Final = 600
_MAX_EARLIER_CHARACTERS: Final = 300
_MAX_REQUEST_CHARACTERS: Final = 6_000
_MAX_INSTRUCTION_CHARACTERS: Final = 2_000
_MAX_REVISED_CHARACTERS: Final = 2_400
_MAX_RESULT_CHARACTERS: Final = 1_600
_MAX_DESCRIPTION_CHARACTERS: Final = 240
_MAX_HISTORY_MESSAGES: Final = 6
_LANGUAGES: Final = {
    "am": "Amharic",
    "ar": "Arabic",
    "bg": "Bulgarian",
    "bn": "Bengali",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "fa": "Persian",
    "fi": "Finnish",
    "fr": "French",
    "he": "Hebrew",
    "hi": "Hindi",
    "hu": "Hungarian",
    "id": "Indonesian",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "nl": "Dutch",
    "no": "Norwegian",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sr": "Serbian",
    "sv": "Swedish",
    "th": "Thai",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "ur": "Urdu",
    "vi": "Vietnamese",
    "zh": "Chinese",
}


def build_answer_prompt(
    messages: Sequence[BaseMessage],
    request: str,
    passages: Sequence[Chunk],
    earlier: tuple[str, str] | None,
) -> list[BaseMessage]:
    """Return the prompt for *request* with *passages*.

    *earlier* is the previous question with its answer, if the request refers to them.
    """
    lines = [_frame_passages(passages), ""]
    if earlier is not None:
        question, answer = (_shorten(text, _MAX_EARLIER_CHARACTERS) for text in earlier)
        lines += [f"Earlier question: {question}", f"Earlier answer: {answer}"]
    lines.append(f"Question: {_shorten(request, _MAX_QUESTION_CHARACTERS)}")
    lines.append(_name_language(request))
    return [build_system_message(ANSWER_FROM_PASSAGES, messages), HumanMessage("\n".join(lines))]


def build_result_prompt(
    messages: Sequence[BaseMessage], request: str, results: Sequence[str]
) -> list[BaseMessage]:
    """Return the prompt for *request* with the *results* of tools that are no passages."""
    limit = _MAX_RESULT_CHARACTERS // max(len(results), 1)
    framed = [frame_untrusted_text("result", result[:limit]) for result in results]
    question = f"Question: {_shorten(request, _MAX_QUESTION_CHARACTERS)}"
    text = "\n".join([*framed, "", question, _name_language(request)])
    return [build_system_message(ANSWER_FROM_PASSAGES, messages), HumanMessage(text)]


def build_writing_prompt(
    messages: Sequence[BaseMessage], request: str, passages: Sequence[Chunk] = ()
) -> list[BaseMessage]:
    """Return the prompt for a text of the model's own, from *passages* if there are any."""
    lines = [_frame_passages(passages), ""] if passages else []
    lines.append(_shorten(request, _MAX_REQUEST_CHARACTERS))
    return [build_system_message(WRITE_TEXT, messages), HumanMessage("\n".join(lines))]


def build_revision_prompt(
    messages: Sequence[BaseMessage], request: str, earlier: tuple[str, str]
) -> list[BaseMessage]:
    """Return the prompt that changes the *earlier* answer as requested."""
    question, answer = earlier
    return [
        build_system_message(WRITE_TEXT, messages),
        HumanMessage(_shorten(question, _MAX_EARLIER_CHARACTERS)),
        AIMessage(_shorten(answer, _MAX_REVISED_CHARACTERS)),
        HumanMessage(_shorten(request, _MAX_QUESTION_CHARACTERS)),
    ]


def build_part_prompt(text: str, request: str) -> list[BaseMessage]:
    """Return the prompt that summarizes one part of a document."""
    framed = frame_untrusted_text("passage", text)
    return [SystemMessage(SUMMARIZE_PART), HumanMessage(f"{framed}\n\n{_name_language(request)}")]


def build_summary_prompt(
    messages: Sequence[BaseMessage], request: str, filename: str, text: str
) -> list[BaseMessage]:
    """Return the prompt that summarizes a document from its *text* or the notes about its parts."""
    framed = frame_untrusted_text("passage", text, {"from": filename})
    lines = [framed, "", _shorten(request, _MAX_QUESTION_CHARACTERS), _name_language(request)]
    return [build_system_message(SUMMARIZE_DOCUMENT, messages), HumanMessage("\n".join(lines))]


def build_choice_prompt(
    messages: Sequence[BaseMessage], request: str, tools: Sequence[OfferedTool]
) -> list[BaseMessage]:
    """Return the prompt that chooses one of *tools*, whose calls a JSON schema restricts."""
    descriptions = "\n".join(_describe_tool(tool) for tool in tools)
    return [
        build_system_message(CHOOSE_TOOL, messages),
        HumanMessage(f"Tools:\n{descriptions}\n\nRequest: {_shorten(request, 1_000)}"),
    ]


def build_chat_prompt(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Return the system message and the last messages of a client's conversation."""
    conversation = [
        message
        for message in messages
        if isinstance(message, HumanMessage | AIMessage) and message.text
    ]
    return [build_system_message(WRITE_TEXT, messages), *conversation[-_MAX_HISTORY_MESSAGES:]]


def build_classification_prompt(request: str) -> list[BaseMessage]:
    """Return the prompt that decides whether *request* needs facts."""
    return [
        SystemMessage(CLASSIFY_REQUEST),
        HumanMessage(_shorten(request, _MAX_QUESTION_CHARACTERS)),
    ]


def build_system_message(text: str, messages: Sequence[BaseMessage]) -> SystemMessage:
    """Return *text* with the instructions of the persona or client, without the agent's prompt."""
    first = messages[0] if messages else None
    if not isinstance(first, SystemMessage):
        return SystemMessage(text)
    instructions = first.text.removeprefix(SYSTEM_PROMPT).strip()[:_MAX_INSTRUCTION_CHARACTERS]
    return SystemMessage(f"{text}\n\n{instructions}" if instructions else text)


def estimate_prompt_tokens(prompt: Sequence[BaseMessage]) -> int:
    """Return about how many tokens *prompt* has."""
    return sum(estimate_tokens(message.text) for message in prompt)


def _name_language(request: str) -> str:
    """Return the instruction to answer in the language of *request*."""
    language = _LANGUAGES.get(detect_language(request))
    if language is None:
        return "Answer in the language of the question."
    return f"Answer in {language}."


def _frame_passages(passages: Sequence[Chunk]) -> str:
    """Return *passages* in one frame: each frame costs about thirty tokens."""
    parts: list[str] = []
    filename = None
    for passage in passages:
        if passage.filename != filename:
            filename = passage.filename
            parts.append(f"[{filename}]")
        parts.append(passage.text.strip())
    return frame_untrusted_text("passage", "\n".join(parts))


def _describe_tool(tool: OfferedTool) -> str:
    properties = tool.parameters.get("properties")
    names = ", ".join(properties) if isinstance(properties, dict) else ""
    description = " ".join(tool.description.split())[:_MAX_DESCRIPTION_CHARACTERS]
    examples = "".join(
        f" Example: {example.utterance!r} {json.dumps(dict(example.arguments))}."
        for example in tool.examples[:1]
    )
    return f"{tool.name}({names}): {description}{examples}"


def _shorten(text: str, max_characters: int) -> str:
    """Return *text* without its middle if it is longer than *max_characters*."""
    if len(text) <= max_characters:
        return text
    half = max_characters // 2
    return f"{text[:half]} … {text[-half:]}"
