"""Print how many texts without a declared encoding are decoded exactly, compared with libraries.

    python -m benchmarks.rag.text_encodings

The texts are those of tests/ai/text/encodings/sentences.json, in each encoding of their language.
Libraries that are not installed are left out: pip install chardet charset-normalizer
"""

import unicodedata
from collections import Counter
from collections.abc import Callable
from importlib import import_module

from backend.ai.text.encodings import decode_text
from tests.ai.text.encodings.encoded_texts import iterate_encoded_texts

# t and s with comma below: the encodings of Romanian have one of the two.
_ROMANIAN = str.maketrans("\u015f\u0163\u015e\u0162", "\u0219\u021b\u0218\u021a")


def _decode_with_chardet(content: bytes) -> str:
    encoding = import_module("chardet").detect(content)["encoding"]
    return content.decode(encoding or "cp1252", "replace")


def _decode_with_charset_normalizer(content: bytes) -> str:
    return str(import_module("charset_normalizer").from_bytes(content).best() or "")


def _decode_with_turbohtml(content: bytes) -> str:
    codec = import_module("turbohtml.detect").detect(content).codec
    return content.decode(codec or "cp1252", "replace")


_DECODERS: dict[str, Callable[[bytes], str]] = {
    "service": decode_text,
    "turbohtml": _decode_with_turbohtml,
    "chardet": _decode_with_chardet,
    "charset-normalizer": _decode_with_charset_normalizer,
}


def main() -> None:
    texts = list(iterate_encoded_texts(range(6)))
    total = Counter(encoding for _, encoding, _, _ in texts)
    correct: dict[str, Counter[str]] = {}
    for name, decode in _DECODERS.items():
        try:
            correct[name] = Counter(
                encoding
                for _, encoding, text, content in texts
                if _normalize(decode(content)) == _normalize(text)
            )
        except ImportError:
            print(f"{name} is not installed.")
    print("| encoding | texts | " + " | ".join(correct) + " |")
    print("|---|---|" + "---|" * len(correct))
    for encoding, count in total.items():
        cells = [str(counter[encoding]) for counter in correct.values()]
        print(f"| {encoding} | {count} | " + " | ".join(cells) + " |")
    sums = [str(counter.total()) for counter in correct.values()]
    print(f"| all | {len(texts)} | " + " | ".join(sums) + " |")


def _normalize(text: str) -> str:
    return unicodedata.normalize("NFC", text.translate(_ROMANIAN))


if __name__ == "__main__":
    main()
