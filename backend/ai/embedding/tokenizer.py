"""Tokenizer of the built-in embedding model: token counts and the characters of each token."""

from tokenizers import Encoding, Tokenizer

from backend.ai.embedding.lazy_model import LazyModel
from backend.ai.model_files import EMBEDDING_TOKENIZER, find_model_file

# The model's maximum sequence length, including the two tokens that mark beginning and end.
MAX_TOKENS = 256


class EmbeddingTokenizer:
    """Tokenizes texts as the model does. Safe to share between threads.

    Its tables, 11 MB, are loaded with the first text and freed when they are idle.
    """

    def __init__(self) -> None:
        self._untruncated_tokenizer = LazyModel(_open_untruncated_tokenizer)
        self._truncating_tokenizer = LazyModel(_open_truncating_tokenizer)

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of *text*, not limited by MAX_TOKENS."""
        return len(self.find_token_spans(text))

    def find_token_spans(self, text: str) -> list[tuple[int, int]]:
        """Return (start, end) of each token in order; the token is `text[start:end]`."""
        encoding = self._untruncated_tokenizer.get().encode(text, add_special_tokens=False)
        spans: list[tuple[int, int]] = encoding.offsets
        return spans

    def encode(self, text: str) -> Encoding:
        """Return the model input for *text*, truncated to MAX_TOKENS."""
        # Do not use encode_batch: it starts a thread for every processor.
        return self._truncating_tokenizer.get().encode(text)


def _open_untruncated_tokenizer() -> Tokenizer:
    tokenizer = _read_tokenizer()
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _open_truncating_tokenizer() -> Tokenizer:
    tokenizer = _read_tokenizer()
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.no_padding()
    return tokenizer


def _read_tokenizer() -> Tokenizer:
    return Tokenizer.from_str(find_model_file(EMBEDDING_TOKENIZER).read_text("utf-8"))
