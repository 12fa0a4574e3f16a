"""The tokenizer that measures texts of a language: that of the model which embeds them."""

from collections.abc import Callable, Sequence

from backend.ai.embedding.piece_tokenizer import PieceTokenizer
from backend.ai.embedding.tokenizer import EmbeddingTokenizer

TokenSpanFinder = Callable[[str], Sequence[tuple[int, int]]]


class TokenizersByLanguage:
    """Tokenizers of the built-in models, by language. Each is loaded with its first text."""

    def __init__(
        self,
        english: EmbeddingTokenizer | None = None,
        multilingual: PieceTokenizer | None = None,
        *,
        is_english_only: bool = False,
    ) -> None:
        """Use new tokenizers for those that are not given.

        Args:
            is_english_only: whether the model for English embeds texts of all languages.
        """
        self._english = english or EmbeddingTokenizer()
        self._multilingual = multilingual or PieceTokenizer()
        self._is_english_only = is_english_only

    def get_token_span_finder(self, language: str) -> TokenSpanFinder:
        """Return the function that finds the tokens of texts in *language* (ISO 639-1, or "")."""
        if self.uses_multilingual(language):
            return self._multilingual.find_token_spans
        return self._english.find_token_spans

    def uses_multilingual(self, language: str) -> bool:
        """Return whether the multilingual model's tokens measure texts in *language*."""
        return language not in ("", "en") and not self._is_english_only
