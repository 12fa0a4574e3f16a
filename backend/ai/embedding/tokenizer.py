"""Tokenizer of the built-in embedding model: token counts and the characters of each token."""

from tokenizers import Tokenizer

from backend.ai.embedding.lazy_model import LazyModel
from backend.ai.model_files import EMBEDDING_TOKENIZER, find_model_file

# The model's maximum sequence length, including the two tokens that mark beginning and end.
MAX_TOKENS = 256


class EmbeddingTokenizer:
    """Tokenizes texts as the model does. Safe to share between threads.

    Its tables, 11 MB, are loaded with the first text and freed when they are idle.
    """

    def __init__(self) -> None:
        self._tokenizer = LazyModel(_open_tokenizer)

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of *text*, not limited by MAX_TOKENS."""
        return len(self.find_token_spans(text))

    def find_token_spans(self, text: str) -> list[tuple[int, int]]:
        """Return (start, end) of each token in order; the token is `text[start:end]`."""
        encoding = self._tokenizer.get().encode(text, add_special_tokens=False)
        spans: list[tuple[int, int]] = encoding.offsets
        return spans

    def encode(self, text: str) -> list[int]:
        """Return the token ids for the model, truncated to MAX_TOKENS."""
        # Do not use encode_batch: it starts a thread for every processor.
        ids: list[int] = self._tokenizer.get().encode(text).ids
        # The last token marks the end. A second tokenizer that truncates would load its own tables.
        return ids if len(ids) <= MAX_TOKENS else [*ids[: MAX_TOKENS - 1], ids[-1]]

    def load(self) -> None:
        """Load the tables, so that the next text is tokenized without delay.

        Raises:
            ModelFilesError: the model is not installed.
        """
        self._tokenizer.get()


def _open_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer.from_str(find_model_file(EMBEDDING_TOKENIZER).read_text("utf-8"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
