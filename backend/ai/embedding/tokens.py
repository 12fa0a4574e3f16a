"""The model's own tokens: how many a text has, and which characters each of them covers."""

from functools import cached_property

from tokenizers import Encoding, Tokenizer

from backend.ai.embedding.weights import read_tokenizer

MAX_TOKENS = 256  # what the model was trained to read; two of them mark beginning and end


class Tokens:
    """The tokenizer, loaded at first use. Safe to share between threads."""

    def count(self, text: str) -> int:
        return len(self.spans(text))

    def spans(self, text: str) -> list[tuple[int, int]]:
        """The characters of each token, as `text[start:end]`, in order."""
        spans: list[tuple[int, int]] = self._whole.encode(text, add_special_tokens=False).offsets
        return spans

    def encode(self, text: str) -> Encoding:
        """The text as the model reads it, cut at MAX_TOKENS."""
        # One at a time on purpose: encode_batch would start a thread for every processor.
        return self._cut.encode(text)

    @cached_property
    def _whole(self) -> Tokenizer:
        tokenizer = Tokenizer.from_str(read_tokenizer())
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    @cached_property
    def _cut(self) -> Tokenizer:
        tokenizer = Tokenizer.from_str(read_tokenizer())
        tokenizer.enable_truncation(MAX_TOKENS)
        tokenizer.no_padding()
        return tokenizer
