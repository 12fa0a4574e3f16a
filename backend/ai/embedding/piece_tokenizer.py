"""Tokenizer of the multilingual embedding model, which is loaded when needed."""

from typing import TYPE_CHECKING

from backend.ai.embedding.lazy_model import LazyModel
from backend.ai.model_files import MULTILINGUAL_TOKENIZER, find_model_file

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor

# The model's maximum sequence length, including the two tokens that mark beginning and end.
MAX_TOKENS = 512


class PieceTokenizer:
    """Tokenizes texts as the model does. Safe to share between threads.

    The `tokenizers` library needs five times as much memory for this vocabulary of 250,000 pieces
    (281 instead of 55 MB) and eight times as long.
    """

    def __init__(self) -> None:
        self._processor = LazyModel(_load_processor)

    def find_token_spans(self, text: str) -> list[tuple[int, int]]:
        """Return (start, end) of each token in order; the token is `text[start:end]`.

        The span of a token that is only a blank is empty.
        """
        processor = self._processor.get()
        spans: list[tuple[int, int]] = processor.encode_as_offset_mapping(text)["offsets"]
        # The blank before a word belongs to its token.
        return [(end - len(text[start:end].lstrip()), end) for start, end in spans]

    def encode(self, text: str) -> list[int]:
        """Return the token ids for the model, truncated to MAX_TOKENS."""
        processor = self._processor.get()
        ids: list[int] = processor.encode(text, out_type=int)[: MAX_TOKENS - 2]
        return [processor.bos_id(), *ids, processor.eos_id()]

    def load(self) -> None:
        """Load the vocabulary, so that the next text is tokenized without delay.

        Raises:
            ModelFilesError: the model is not installed.
        """
        self._processor.get()


def _load_processor() -> "SentencePieceProcessor":
    # Imported here: installations that only have English documents do not need it.
    from sentencepiece import SentencePieceProcessor

    return SentencePieceProcessor(model_file=str(find_model_file(MULTILINGUAL_TOKENIZER)))
